/** A worker's side of `threads.ts`. */
import { parentPort } from "node:worker_threads";
import { threadBody } from "../../engine/worker_body.ts";

const port = parentPort!;
const answer = threadBody((reply) => port.postMessage(reply));
port.on("message", answer);
port.postMessage({ kind: "ready" });
