// Run by `elector-agent exec`: it runs only while this pod leads, and is to end within 2.4 s of SIGTERM.
import { setTimeout as sleep } from "node:timers/promises";

// What the leader does, with the token for whoever checks it.
function act(token) {}

process.on("SIGTERM", () => {
  console.log("leads: false");
  process.exit();
});
const token = process.env.LEADER_ELECTION_FENCING_TOKEN;
console.log(`leads: true, token ${token}`);
while (true) {
  act(token);
  await sleep(500);
}
