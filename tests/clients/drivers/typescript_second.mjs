// The client of @modelcontextprotocol/client; the way is how it negotiates: legacy or auto.

import { SERVER, WAY, converse, require } from "./line_loop.mjs";

const { Client, StreamableHTTPClientTransport } = require("@modelcontextprotocol/client");
const { StdioClientTransport } = require("@modelcontextprotocol/client/stdio");

const { command, args, env, url, headers } = SERVER;
const transport =
  SERVER.transport === "stdio"
    ? new StdioClientTransport({ command, args, env })
    : new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
const client = new Client({ name: "typescript-client", version: "2" }, { versionNegotiation: { mode: WAY } });
await client.connect(transport);
await client.listTools();
await converse(client, client.getNegotiatedProtocolVersion?.() ?? "");
