//! The services of AWS that keelwright uses, and how each is spoken to.

/// How calls and errors look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// A form, answered in XML; errors in a shape that only EC2 has.
    Ec2,
    /// A form, answered in XML.
    Query,
    /// `X-Amz-Target` and JSON.
    Json,
    /// Methods, paths and XML.
    Rest,
    /// Methods, paths and JSON.
    RestJson,
    /// A path that ends in the call, and CBOR.
    Cbor,
    /// The same, with errors of its own shape.
    S3,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    Ec2,
    Iam,
    Sts,
    Balancing,
    /// Load balancers of the first generation: the same scope, another version.
    ClassicBalancing,
    AutoScaling,
    Parameters,
    Route53,
    S3,
    CloudWatch,
    Eks,
    /// One that the proxy passes on as it is.
    Other,
}

impl Service {
    pub const ALL: [Service; 10] = [
        Service::Ec2,
        Service::Iam,
        Service::Sts,
        Service::Balancing,
        Service::AutoScaling,
        Service::Parameters,
        Service::Route53,
        Service::S3,
        Service::CloudWatch,
        Service::Eks,
    ];

    pub fn of_scope(scope: &str) -> Service {
        Service::ALL.into_iter().find(|service| service.scope() == scope).unwrap_or(Service::Other)
    }

    /// In the scope of credentials, and but for CloudWatch in ARNs and in the names of permissions.
    pub fn scope(self) -> &'static str {
        match self {
            Service::Ec2 => "ec2",
            Service::Iam => "iam",
            Service::Sts => "sts",
            Service::Balancing | Service::ClassicBalancing => "elasticloadbalancing",
            Service::AutoScaling => "autoscaling",
            Service::Parameters => "ssm",
            Service::Route53 => "route53",
            Service::S3 => "s3",
            Service::CloudWatch => "monitoring",
            Service::Eks => "eks",
            Service::Other => "other",
        }
    }

    /// In the names of calls.
    pub fn name(self) -> &'static str {
        match self {
            Service::Ec2 => "EC2",
            Service::Iam => "IAM",
            Service::Sts => "STS",
            Service::Balancing => "ELBv2",
            Service::ClassicBalancing => "ELB",
            Service::AutoScaling => "AutoScaling",
            Service::Parameters => "SSM",
            Service::Route53 => "Route53",
            Service::S3 => "S3",
            Service::CloudWatch => "CloudWatch",
            Service::Eks => "EKS",
            Service::Other => "Other",
        }
    }

    pub fn protocol(self) -> Protocol {
        match self {
            Service::Ec2 => Protocol::Ec2,
            Service::Iam
            | Service::Sts
            | Service::Balancing
            | Service::ClassicBalancing
            | Service::AutoScaling => Protocol::Query,
            Service::Parameters | Service::Other => Protocol::Json,
            Service::Route53 => Protocol::Rest,
            Service::S3 => Protocol::S3,
            Service::CloudWatch => Protocol::Cbor,
            Service::Eks => Protocol::RestJson,
        }
    }

    /// Of the API, as calls in forms name it.
    pub fn version(self) -> &'static str {
        match self {
            Service::Ec2 => "2016-11-15",
            Service::Iam => "2010-05-08",
            Service::Sts => "2011-06-15",
            Service::Balancing => "2015-12-01",
            Service::ClassicBalancing => "2012-06-01",
            Service::AutoScaling => "2011-01-01",
            Service::Parameters => "2014-11-06",
            Service::Route53 => "2013-04-01",
            Service::CloudWatch => "2010-08-01",
            Service::Eks => "2017-11-01",
            Service::S3 | Service::Other => "2006-03-01",
        }
    }

    /// Of the elements in answers.
    pub fn namespace(self) -> String {
        let version = self.version();
        match self {
            Service::Ec2 => format!("http://ec2.amazonaws.com/doc/{version}"),
            Service::Balancing | Service::ClassicBalancing | Service::AutoScaling => {
                format!("http://{}.amazonaws.com/doc/{version}/", self.scope())
            }
            Service::Iam
            | Service::Sts
            | Service::Route53
            | Service::Parameters
            | Service::CloudWatch
            | Service::Eks
            | Service::Other => {
                format!("https://{}.amazonaws.com/doc/{version}/", self.scope())
            }
            Service::S3 => format!("http://s3.amazonaws.com/doc/{version}/"),
        }
    }
}
