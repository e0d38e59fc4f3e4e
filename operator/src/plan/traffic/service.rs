//! The plan for a Service without a selector, and for its EndpointSlices, which hold the leader alone.
//!
//! Slices are written only once the Service is seen to be an operator's: for a Service of others they would send its
//! traffic to the leader.

use std::net::IpAddr;

use elector_crds::leader_slice::{AddressFamily, SERVICE_NAME_LABEL, SLICE_MANAGED_BY_LABEL, slice_name};
use elector_crds::ownership::{OPERATOR_NAME, is_made_for, metadata};
use elector_crds::{LeaderElection, LeaderService, LeaderServicePort, TargetPort};
use k8s_openapi::api::core::v1::{ObjectReference, Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use kube::ResourceExt;

use super::{TrafficTarget, TrafficWrite};
use crate::index::{ElectionSnapshot, Pod};
use crate::plan::rbac::has_metadata;

/// The changes to write, in this order.
pub(super) fn writes(
    election: &LeaderElection,
    snapshot: &ElectionSnapshot,
    target: TrafficTarget<'_>,
) -> Vec<TrafficWrite> {
    let asked = asked(election, snapshot);
    let service = asked.and_then(|asked| snapshot.services.iter().find(|service| service.name_any() == asked.name));
    let service = service.filter(|service| is_made_for(*service, election));
    let mut writes = slices(election, snapshot, asked.filter(|_| service.is_some()), target);
    if let Some(asked) = asked {
        let desired = desired_service(election, asked);
        let in_place = service.is_some_and(|known| is_in_place(known, &desired));
        writes.extend((!in_place).then(|| TrafficWrite::Service(Box::new(desired))));
    }
    let unwanted = snapshot.services.iter().filter(|known| asked.is_none_or(|asked| asked.name != known.name_any()));
    writes.extend(unwanted.map(|known| TrafficWrite::DeleteService(Box::new(known.clone()))));
    writes
}

fn asked<'a>(election: &'a LeaderElection, snapshot: &ElectionSnapshot) -> Option<&'a LeaderService> {
    election.spec.leader_service.as_ref().filter(|_| snapshot.features.leader_service)
}

/// Why the leader's pod cannot be reached through the Service, in words.
pub(in crate::plan) fn obstacle(election: &LeaderElection, snapshot: &ElectionSnapshot) -> Option<String> {
    let asked = asked(election, snapshot)?;
    let why = match &snapshot.holder_pod {
        None => "does not reach it: no pod of that name is known".to_owned(),
        Some(pod) if pod.ready_since.is_none() => "waits for it to be ready".to_owned(),
        Some(pod) => {
            let missing = asked.ports.iter().find(|port| number(port, pod).is_none())?;
            let TargetPort::Name(name) = missing.target() else { return None };
            format!("does not reach it at port {}: none of its containers has a port named {name}", missing.port)
        }
    };
    Some(format!("Service {} {why}", asked.name))
}

fn slices(
    election: &LeaderElection,
    snapshot: &ElectionSnapshot,
    asked: Option<&LeaderService>,
    target: TrafficTarget<'_>,
) -> Vec<TrafficWrite> {
    let mut writes = Vec::new();
    let mut unwanted: Vec<&EndpointSlice> = snapshot.slices.iter().collect();
    for family in AddressFamily::ALL {
        let Some(asked) = asked else { break };
        let name = slice_name(&election.name_any(), family);
        let known = snapshot.slices.iter().find(|slice| slice.name_any() == name);
        unwanted.retain(|slice| slice.name_any() != name);
        let shown = |pod: &Pod| known.is_some_and(|slice| shows(slice, pod));
        let pod = match target {
            TrafficTarget::Nobody => None,
            TrafficTarget::Leader(pod) => Some(pod),
            TrafficTarget::Unchanged(pod) => pod.filter(|pod| shown(pod)),
            TrafficTarget::Last => None,
        };
        let mut desired = slice(election, asked, family, pod);
        if let (TrafficTarget::Last, Some(known)) = (target, known) {
            desired.endpoints.clone_from(&known.endpoints);
            desired.ports.clone_from(&known.ports);
        }
        let in_place = match known {
            None => desired.endpoints.is_empty(),
            Some(known) => {
                // None of them is stored as nothing at all.
                let ports = |slice: &EndpointSlice| slice.ports.clone().unwrap_or_default();
                known.address_type == desired.address_type
                    && known.endpoints == desired.endpoints
                    && ports(known) == ports(&desired)
                    && has_metadata(known, &desired)
            }
        };
        writes.extend((!in_place).then(|| TrafficWrite::Slice(Box::new(desired))));
    }
    let deleted = unwanted.into_iter().map(|slice| TrafficWrite::DeleteSlice(Box::new(slice.clone())));
    deleted.chain(writes).collect()
}

fn shows(slice: &EndpointSlice, pod: &Pod) -> bool {
    let of_pod =
        |endpoint: &Endpoint| endpoint.target_ref.as_ref().and_then(|target| target.uid.as_ref()) == Some(&pod.uid);
    slice.endpoints.iter().any(of_pod)
}

fn slice(election: &LeaderElection, asked: &LeaderService, family: AddressFamily, pod: Option<&Pod>) -> EndpointSlice {
    let mut metadata = metadata(election, slice_name(&election.name_any(), family));
    let labels = metadata.labels.get_or_insert_default();
    labels.insert(SERVICE_NAME_LABEL.to_owned(), asked.name.clone());
    labels.insert(SLICE_MANAGED_BY_LABEL.to_owned(), OPERATOR_NAME.to_owned());
    let address = pod.and_then(|pod| pod.addresses.iter().find(|address| AddressFamily::of(**address) == family));
    let endpoint = pod.zip(address).map(|(pod, address)| endpoint(election, pod, *address));
    let ports: Vec<EndpointPort> = asked.ports.iter().filter_map(|port| endpoint_port(port, pod)).collect();
    EndpointSlice {
        address_type: format!("{family:?}"),
        // One that has no port at all is reached at every port, by the contract of slices.
        endpoints: endpoint.filter(|_| !ports.is_empty()).into_iter().collect(),
        // Said, not left out: else somebody else's would stay.
        ports: Some(ports),
        metadata,
    }
}

fn endpoint(election: &LeaderElection, pod: &Pod, address: IpAddr) -> Endpoint {
    Endpoint {
        addresses: vec![address.to_string()],
        // Not that it is terminating: until another leads there is nobody else to go to, and each change costs proxies time.
        conditions: Some(EndpointConditions {
            ready: Some(pod.ready_since.is_some()),
            ..EndpointConditions::default()
        }),
        node_name: pod.node.clone(),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".to_owned()),
            namespace: election.namespace(),
            name: Some(pod.name.clone()),
            uid: Some(pod.uid.clone()),
            ..ObjectReference::default()
        }),
        ..Endpoint::default()
    }
}

/// The port of an endpoint. `None` if the port is known by a name that no container of the pod has.
fn endpoint_port(port: &LeaderServicePort, pod: Option<&Pod>) -> Option<EndpointPort> {
    let number = match pod {
        Some(pod) => number(port, pod)?,
        // Of nobody, so that it does not matter.
        None => i32::try_from(port.port).ok()?,
    };
    Some(EndpointPort {
        name: Some(port.name.clone().unwrap_or_default()),
        port: Some(number),
        protocol: Some(port.protocol.as_str().to_owned()),
        app_protocol: port.app_protocol.clone(),
    })
}

fn number(port: &LeaderServicePort, pod: &Pod) -> Option<i32> {
    match port.target() {
        TargetPort::Number(number) => i32::try_from(number).ok(),
        TargetPort::Name(name) => {
            let mut ports = pod.named_ports.iter();
            ports.find(|known| known.name == name && known.protocol == port.protocol.as_str()).map(|known| known.number)
        }
    }
}

/// Sets in `known` what `desired` asks for. Everything else stays, such as the address that the Service was given.
pub(crate) fn amend(known: &mut Service, desired: &Service) {
    let (Some(spec), Some(desired_spec)) = (&mut known.spec, &desired.spec) else { return };
    spec.ports.clone_from(&desired_spec.ports);
    spec.type_.clone_from(&desired_spec.type_);
    // One that somebody added would bring all candidates in.
    spec.selector = None;
    known.labels_mut().extend(desired.labels().clone());
    // Of an earlier election of that name, too.
    known.owner_references_mut().retain(|owner| owner.controller != Some(true));
    known.owner_references_mut().extend_from_slice(desired.owner_references());
}

fn desired_service(election: &LeaderElection, asked: &LeaderService) -> Service {
    let port = |port: &LeaderServicePort| ServicePort {
        name: port.name.clone(),
        port: i32::try_from(port.port).unwrap_or_default(),
        protocol: Some(port.protocol.as_str().to_owned()),
        target_port: Some(port.target().to_int_or_string()),
        app_protocol: port.app_protocol.clone(),
        ..ServicePort::default()
    };
    Service {
        metadata: metadata(election, asked.name.clone()),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            ports: Some(asked.ports.iter().map(port).collect()),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

fn is_in_place(known: &Service, desired: &Service) -> bool {
    let (Some(known_spec), Some(desired_spec)) = (&known.spec, &desired.spec) else { return false };
    let ports = known_spec.ports.iter().flatten().map(|port| ServicePort { node_port: None, ..port.clone() });
    known_spec.selector.as_ref().is_none_or(|selector| selector.is_empty())
        && known_spec.type_ == desired_spec.type_
        && ports.eq(desired_spec.ports.iter().flatten().cloned())
        && has_metadata(known, desired)
}
