// What the drivers in JavaScript have in common; line_loop.py tells how they talk.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

export const SERVER = JSON.parse(process.argv[2]);
export const WAY = process.argv[3] ?? "";
// The packages are not beside the drivers.
export const require = createRequire(process.env.CLIENT_PACKAGES + "/");

const say = (message) => process.stdout.write(JSON.stringify(message) + "\n");

export async function converse(client, protocol = "") {
  say({ ready: true, protocol });
  for await (const line of createInterface({ input: process.stdin })) {
    const { tool, arguments: given } = JSON.parse(line);
    const reply = await client.callTool({ name: tool, arguments: given });
    const text = reply.content.map((part) => part.text ?? "").join("");
    say({ is_error: reply.isError === true, text, structured: reply.structuredContent ?? null });
  }
  await client.close();
}
