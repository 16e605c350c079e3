// Node-RED in this process with one flow: MQTT in, parse, INSERT by PostgreSQL's client `pg` in a function node.
// node node_red.js MODULES '{"host":…,"port":…,"filter":…,"table":…,"database":{…}}' says "ready" once it has subscribed.
"use strict";
const path = require("path");
const fs = require("fs");
const os = require("os");
const http = require("http");

const [modules, said] = process.argv.slice(2);
const given = JSON.parse(said);
const load = (name) => require(require.resolve(name, { paths: [path.join(modules, "node_modules")] }));
const RED = load("node-red");
const { Pool } = load("pg");

const pool = new Pool({ ...given.database, max: 10 });
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "kaiser-node-red-"));
const insert = `INSERT INTO ${given.table} (time, esp_id, gpio, sensor_type, raw, value, unit, quality)
  VALUES (to_timestamp($1 / 1000.0), $2, $3, $4, $5, $6, $7, $8)`;
const flows = [
  { id: "tab", type: "tab", label: "bench" },
  { id: "broker", type: "mqtt-broker", broker: given.host, port: String(given.port), clientid: "bench-node-red",
    protocolVersion: "4", keepalive: "60", cleansession: true, autoConnect: true },
  { id: "in", z: "tab", type: "mqtt in", topic: given.filter, qos: "1", datatype: "json", broker: "broker",
    inputs: 0, wires: [["store"]] },
  { id: "store", z: "tab", type: "function", outputs: 0, wires: [],
    func: "const one = msg.payload; const pool = global.get('pool');" +
      "await pool.query(global.get('insert'), [one.ts, one.esp_id, one.gpio, one.sensor_type, one.raw, one.value," +
      " one.unit, one.quality]);" },
];
fs.writeFileSync(path.join(folder, "flows.json"), JSON.stringify(flows));

const server = http.createServer();
RED.init(server, {
  userDir: folder, flowFile: "flows.json", httpAdminRoot: false, httpNodeRoot: false,
  functionGlobalContext: { pool, insert }, logging: { console: { level: "error" } },
});
RED.events.on("node-status", ({ id, status }) => {
  if (id === "in" && status.fill === "green") console.log("ready");
});
process.on("exit", () => fs.rmSync(folder, { recursive: true, force: true }));
RED.start();
