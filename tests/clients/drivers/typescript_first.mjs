// The client of @modelcontextprotocol/sdk.

import { SERVER, converse, require } from "./line_loop.mjs";

const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
const { StdioClientTransport } = require("@modelcontextprotocol/sdk/client/stdio.js");
const { StreamableHTTPClientTransport } = require("@modelcontextprotocol/sdk/client/streamableHttp.js");
const { SSEClientTransport } = require("@modelcontextprotocol/sdk/client/sse.js");

const { command, args, env, url, headers } = SERVER;
const transport = {
  stdio: () => new StdioClientTransport({ command, args, env }),
  http: () => new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }),
  sse: () => new SSEClientTransport(new URL(url), { requestInit: { headers } }),
}[SERVER.transport]();
const client = new Client({ name: "typescript-sdk", version: "1" });
await client.connect(transport);
await client.listTools(); // With the schemas at hand, it checks each reply against its own.
await converse(client, transport.protocolVersion ?? "");
