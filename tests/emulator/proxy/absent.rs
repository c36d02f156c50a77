//! Things asked for by id that are not there: an error of AWS, an empty list or worse of moto.

use super::super::client::Answer;
use super::call::Call;
use super::kinds::KINDS;
use super::reply;

/// The calls of which moto does not say it, and the parameter with the id.
const SILENT: [(&str, &str); 3] = [
    ("EC2.DescribeNatGateways", "NatGatewayId.1"),
    ("EC2.DescribeLaunchTemplates", "LaunchTemplateId.1"),
    ("EC2.DeleteNatGateway", "NatGatewayId"),
];

pub fn rewrite(call: &Call, answer: &mut Answer) {
    let name = call.name();
    let Some((_, param)) = SILENT.iter().find(|(silent, _)| *silent == name) else { return };
    let asked = call.params.get(*param);
    let kind = KINDS.iter().find(|kind| param.to_lowercase().starts_with(&kind.id.to_lowercase()));
    let (Some(id), Some(kind)) = (asked, kind) else { return };
    let silent = answer.status == 500 || answer.status < 300 && !answer.all(kind.id).contains(id);
    if silent {
        *answer = reply::refusal(call, 400, kind.not_found, &format!("{id} was not found"));
    }
}
