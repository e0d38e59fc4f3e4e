// Asks the leader by its Service, and again for as long as nobody answers as the leader. Each time by a new connection:
// one that is kept leads to the pod that led when it was made.
import { get } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

const url = process.env.LEADER_URL ?? "http://billing-leader";

async function ask() {
  try {
    const response = await new Promise((resolve, reject) => {
      get(url, { agent: false, signal: AbortSignal.timeout(2_000) }, resolve).on("error", reject);
    });
    let answer = "";
    for await (const chunk of response.setEncoding("utf8")) answer += chunk;
    return response.statusCode === 200 ? answer : "nobody";
  } catch {
    return "nobody";
  }
}

let before;
while (true) {
  const leader = await ask();
  if (leader !== before) console.log(`leader: ${leader}`);
  before = leader;
  await sleep(500);
}
