// Asks the agent before each act. No answer in time, or any other than 200, and it does not lead.
import { setTimeout as sleep } from "node:timers/promises";

const url = `http://${process.env.ELECTOR_ADDRESS ?? "127.0.0.1:4040"}/isLeader`;

async function isLeader() {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(500) });
    await response.arrayBuffer();
    return response.status === 200;
  } catch {
    return false;
  }
}

// What the leader does. Short, as the answer is of the past once it begins.
function act() {}

let led = false;
while (true) {
  const leads = await isLeader();
  if (leads !== led) console.log(`leads: ${leads}`);
  led = leads;
  if (leads) act();
  await sleep(500);
}
