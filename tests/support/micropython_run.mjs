// Runs a program in MicroPython, compiled to WebAssembly: node micropython_run.mjs FOLDER STAND_INS PROGRAM
import { readFileSync, readdirSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [folder, standIns, program] = process.argv.slice(2);
const resolved = createRequire(`${folder}/`).resolve("@micropython/micropython-webassembly-pyscript/micropython.mjs");
const { loadMicroPython } = await import(resolved);
const board = await loadMicroPython({ stdout: (line) => console.log(line), linebuffer: true });

copy(standIns, "/lib");
// The clock of the board stands, and nobody waits: the stand-in for umqtt ends the program.
board.runPython(`
import sys, time, gc
sys.path.insert(0, "/lib")
class Clock:
    ticks_ms = staticmethod(lambda: 61_000)
    sleep = staticmethod(lambda seconds: None)
class Memory:
    mem_free = staticmethod(lambda: 201_344)
sys.modules["time"] = Clock
sys.modules["gc"] = Memory
`);
try {
  board.runPython(readFileSync(program, "utf8"));
} catch (error) {
  if (error.type !== "SystemExit") throw error;
}

function copy(from, to) {
  board.FS.mkdirTree(to);
  for (const name of readdirSync(from)) {
    if (name.startsWith("__")) continue;
    const path = join(from, name);
    if (statSync(path).isDirectory()) copy(path, `${to}/${name}`);
    else board.FS.writeFile(`${to}/${name}`, readFileSync(path, "utf8"));
  }
}
