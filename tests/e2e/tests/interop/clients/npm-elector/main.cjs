// Contends for a Lease until SIGTERM, ends its work then, and releases the Lease.
const { Elector } = require("@codedependant/kubernetes-leader-election");

let led = false;

function tell(leads) {
  if (leads !== led) console.log(`${process.hrtime.bigint()} ${leads ? "leads" : "follows"}`);
  led = leads;
}

// The library takes itself for the leader where there is no cluster.
process.env.KUBERNETES_SERVICE_HOST = "see KUBECONFIG";
const { LEASE_NAME, NAMESPACE, IDENTITY } = process.env;
const timings = { lease_duration_sec: 5, renew_interval_ms: 1000 };
const elector = new Elector({
  lease_name: LEASE_NAME, namespace: NAMESPACE, identity: IDENTITY, auto_close: false, ...timings,
});
elector.on(Elector.EVENTS.LEADERSHIP_ACQUIRED, () => tell(true));
elector.on(Elector.EVENTS.LEADERSHIP_LOST, () => tell(false));
process.once("SIGTERM", async () => {
  tell(false);
  await elector.stop();
  process.exit();
});
elector.start();
