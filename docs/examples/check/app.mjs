// Asks `elector-agent check` before each act. It reads STATUS_FILE, and exits with 0 only if this pod leads.
import { spawnSync } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";

// What the leader does. Short, as the look is over once it begins.
function act() {}

let led = false;
while (true) {
  const leads = spawnSync("elector-agent", ["check"], { stdio: "inherit" }).status === 0;
  if (leads !== led) console.log(`leads: ${leads}`);
  led = leads;
  if (leads) act();
  await sleep(500);
}
