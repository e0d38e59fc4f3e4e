//! A control plane to play with, until Ctrl-C: prints what to export for kubectl.

use anyhow::Result;
use clap::Parser;
use elector_harness::controlplane::{ControlPlane, Options};
use elector_harness::node::Node;
use tokio::signal::unix::{SignalKind, signal};

/// etcd and kube-apiserver on loopback, built from source when needed. Ends, and leaves nothing, at Ctrl-C.
#[derive(Parser)]
struct Arguments {
    /// Run kube-controller-manager too, for garbage collection
    #[arg(long)]
    controller_manager: bool,
    /// Run a node too, with kubelet, containerd and an image `busybox:1.37`; takes root
    #[arg(long)]
    node: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        done = serve(&arguments) => done,
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

async fn serve(arguments: &Arguments) -> Result<()> {
    let plane = ControlPlane::start(Options { nodes: arguments.node, ..Options::default() }).await?;
    let mut processes = vec![plane.etcd(), plane.api_server()];
    if arguments.controller_manager {
        processes.push(plane.controller_manager().await?);
    }
    let node = if arguments.node { Some(Node::start(&plane, "node").await?) } else { None };
    if let Some(node) = &node {
        node.import(&node.busybox()).await?;
        processes.extend([node.machine(), node.containerd(), node.kubelet()]);
    }
    for process in processes {
        println!("# {} is process {}", process.name(), process.id().unwrap_or_default());
    }
    if let Some(node) = &node {
        println!("# {} has its files in {}", node.name(), node.folder().display());
    }
    println!("export KUBECONFIG={}", plane.kubeconfig().display());
    std::future::pending().await
}
