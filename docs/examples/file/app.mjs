// Looks at the file before each act: it exists only while this pod leads.
import { statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const statusFile = process.env.STATUS_FILE ?? "/run/leader-election/leader_status";

// What the leader does. Short, as the look is over once it begins.
function act() {}

let led = false;
while (true) {
  const leads = statSync(statusFile, { throwIfNoEntry: false })?.isFile() ?? false;
  if (leads !== led) console.log(`leads: ${leads}`);
  led = leads;
  if (leads) act();
  await sleep(500);
}
