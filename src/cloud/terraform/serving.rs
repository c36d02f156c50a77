//! Balancers and names.

use serde_json::json;

use super::{Block, Writer, label};
use crate::cloud::name::{ResourceName, physical_name};
use crate::cloud::resource::{Balancer, Desired, Health, Listener, Record, TargetGroup, Targets};

impl Writer<'_> {
    pub(super) fn balancer(&self, name: &ResourceName, balancer: &Balancer, desired: &Desired) -> Vec<Block> {
        let content = json!({
            "name": physical_name(self.cluster, name.short()),
            "load_balancer_type": "network",
            "internal": balancer.internal,
            "subnets": self.ids(&balancer.subnets),
            "security_groups": self.ids(&balancer.groups),
            "enable_cross_zone_load_balancing": balancer.cross_zone,
            "enable_deletion_protection": balancer.deletion_protection,
            "tags": self.tags(name, desired),
        });
        vec![("aws_lb", label(name.short()), content)]
    }

    pub(super) fn target_group(
        &self,
        name: &ResourceName,
        group: &TargetGroup,
        desired: &Desired,
    ) -> Vec<Block> {
        let check = match &group.health {
            Health::Tcp => json!({"protocol": "TCP"}),
            Health::Https { path } => json!({"protocol": "HTTPS", "path": path}),
        };
        let content = json!({
            "name": physical_name(self.cluster, name.short()),
            "port": group.port,
            "protocol": "TCP",
            "target_type": "instance",
            "vpc_id": self.id(&group.vpc),
            "preserve_client_ip": group.preserve_client_address.to_string(),
            "deregistration_delay": group.deregistration_delay,
            "health_check": check,
            "tags": self.tags(name, desired),
        });
        vec![("aws_lb_target_group", label(name.short()), content)]
    }

    pub(super) fn targets(&self, name: &ResourceName, targets: &Targets) -> Vec<Block> {
        let block = |(number, instance)| {
            let content =
                json!({"target_group_arn": self.id(&targets.group), "target_id": self.id(instance)});
            ("aws_lb_target_group_attachment", format!("{}-{number}", label(name.short())), content)
        };
        targets.instances.iter().enumerate().map(block).collect()
    }

    pub(super) fn listener(&self, name: &ResourceName, listener: &Listener) -> Vec<Block> {
        let content = json!({
            "load_balancer_arn": self.id(&listener.balancer),
            "port": listener.port,
            "protocol": "TCP",
            "default_action": {"type": "forward", "target_group_arn": self.id(&listener.group)},
        });
        vec![("aws_lb_listener", label(name.short()), content)]
    }

    pub(super) fn record(&self, name: &ResourceName, record: &Record) -> Vec<Block> {
        let content = json!({
            "zone_id": record.hosted_zone,
            "name": record.name,
            "type": "A",
            "alias": {
                "name": self.attribute(&record.balancer, "dns_name"),
                "zone_id": self.attribute(&record.balancer, "zone_id"),
                "evaluate_target_health": false,
            },
        });
        vec![("aws_route53_record", label(name.short()), content)]
    }
}
