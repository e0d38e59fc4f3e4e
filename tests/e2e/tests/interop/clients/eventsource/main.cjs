// Listens to /sse: the pod whose name is told leads. Without a connection it does not.
const { hostname } = require("node:os");
const { EventSource } = require("eventsource");

let led = false;

function tell(leads) {
  if (leads !== led) console.log(`${process.hrtime.bigint()} ${leads ? "leads" : "follows"}`);
  led = leads;
}

const events = new EventSource(process.env.ELECTOR_SSE_URL);
events.onmessage = ({ data }) => tell(JSON.parse(data).name === hostname());
events.onerror = () => tell(false);
