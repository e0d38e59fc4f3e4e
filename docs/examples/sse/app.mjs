// Is told by the agent when this pod begins and ceases to lead. A stream that ends, or is silent, says that it does not.
import { get } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

const url = `http://${process.env.ELECTOR_ADDRESS ?? "127.0.0.1:4040"}/sse`;
const silence = 30_000; // milliseconds; the agent says something every 15 s

let leads = false;
function tell(isLeader) {
  if (isLeader !== leads) console.log(`leads: ${isLeader}`);
  leads = isLeader;
}

async function listen() {
  const response = await new Promise((resolve, reject) => {
    const request = get(url, { timeout: silence }, resolve);
    request.on("timeout", () => request.destroy(new Error("silent"))).on("error", reject);
  });
  if (response.statusCode !== 200) throw new Error(`${url}: ${response.statusCode}`);
  let text = "";
  for await (const chunk of response.setEncoding("utf8")) {
    const lines = (text + chunk).split("\n");
    text = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data:")) tell(JSON.parse(line.slice("data:".length)).is_leader);
    }
  }
}

// What the leader does. Short, as it can be told only between two acts that it leads no more.
function act() {}

setInterval(() => leads && act(), 500);
while (true) {
  try {
    await listen();
  } catch (error) {
    console.error(error.message);
  }
  tell(false);
  await sleep(1_000);
}
