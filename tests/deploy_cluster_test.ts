/** deploy/k8s, deploy/slurm and deploy/docker, as far as they can be checked without their platforms. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { parseAllDocuments } from "npm:yaml@2.9.1";
import { Deployment } from "npm:kubernetes-models@5.1.0/apps/v1/Deployment";
import { Job } from "npm:kubernetes-models@5.1.0/batch/v1/Job";
import { Service } from "npm:kubernetes-models@5.1.0/v1/Service";
import { commands, loadCommand } from "../src/cli/command.ts";
import { Command } from "npm:commander@15.1.0";

const deploy = new URL("../deploy/", import.meta.url);
const read = (path: string) => Deno.readTextFile(new URL(path, deploy));

interface Resource {
  validate(): void;
}
// deno-lint-ignore no-explicit-any
type Manifest = any;

const kinds: Record<string, new (manifest: Manifest) => Resource> = { Deployment, Job, Service };

async function manifests(path: string): Promise<Manifest[]> {
  return parseAllDocuments(await read(path)).map((document) => {
    assertEquals(document.errors, []);
    return document.toJS();
  });
}

for (const path of ["k8s/serve.yaml", "k8s/bulk.yaml"]) {
  Deno.test(`${path} is valid by Kubernetes' schema`, async () => {
    for (const manifest of await manifests(path)) new kinds[manifest.kind](manifest).validate();
  });
}

Deno.test("the schema check would notice a wrong field", async () => {
  const [job] = await manifests("k8s/bulk.yaml");
  job.spec.completions = "sixteen";
  let refused = false;
  try {
    new Job(job).validate();
  } catch {
    refused = true;
  }
  assert(refused);
});

/** Whether the command line knows each `--flag` of some arguments. */
async function assertFlagsExist(args: readonly string[]): Promise<void> {
  const [name, ...rest] = args;
  assert(commands.some((command) => command.name === name), name);
  const command = new Command(name).option("-q, --quiet");
  (await loadCommand(name)).define(command, () => {
    throw new Error("not run");
  });
  const known = command.options.map(({ long }) => long);
  for (const arg of rest.filter((arg) => arg.startsWith("--"))) {
    assert(known.includes(arg.split("=")[0]), `${name} ${arg}`);
  }
}

Deno.test("k8s: a job's index is its shard, and the arguments are ones the program knows", async () => {
  const [job] = await manifests("k8s/bulk.yaml");
  const { completions, completionMode, template } = job.spec;
  assertEquals(completionMode, "Indexed");
  const [{ args }] = template.spec.containers;
  assert(args.includes(`--shard=$(JOB_COMPLETION_INDEX)/${completions}`), String(args));
  await assertFlagsExist(args);

  const [deployment, service] = await manifests("k8s/serve.yaml");
  const [container] = deployment.spec.template.spec.containers;
  await assertFlagsExist(container.args);
  assertEquals(service.spec.selector, deployment.spec.selector.matchLabels);
  const port = container.args[container.args.indexOf("--port") + 1];
  assertEquals(String(container.ports[0].containerPort), port);
});

/** Runs the array script with a program that prints what it is asked for. */
async function slurm(env: Record<string, string>): Promise<string[]> {
  const { success, stdout, stderr } = await new Deno.Command("bash", {
    args: [new URL("slurm/bulk.sh", deploy).pathname],
    env: { DENOISE: "printf %s\\n", ...env },
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trim().split("\n");
}

Deno.test("slurm: each task of an array asks for its own shard, wherever the array begins", async () => {
  for (const first of [0, 1]) {
    const shards: string[] = [];
    for (let task = first; task < first + 3; task++) {
      const args = await slurm({
        SLURM_ARRAY_TASK_ID: String(task),
        SLURM_ARRAY_TASK_MIN: String(first),
        SLURM_ARRAY_TASK_COUNT: "3",
        SEEDS: "0-29",
        OUT: "with space",
      });
      await assertFlagsExist(args);
      assertEquals(args[args.indexOf("--out") + 1], "with space/");
      assert(args.includes("--resume"));
      shards.push(args[args.indexOf("--shard") + 1]);
    }
    assertEquals(shards, ["0/3", "1/3", "2/3"]);
  }
});

Deno.test("slurm: a task that is run again alone keeps its place in the whole array", async () => {
  const args = await slurm({
    SLURM_ARRAY_TASK_ID: "3",
    SLURM_ARRAY_TASK_MIN: "3",
    SLURM_ARRAY_TASK_COUNT: "1",
    SHARDS: "16",
    FIRST: "0",
  });
  assertEquals(args[args.indexOf("--shard") + 1], "3/16");
});

Deno.test("slurm: outside an array the script says so", async () => {
  const { success, stderr } = await new Deno.Command("bash", {
    args: [new URL("slurm/bulk.sh", deploy).pathname],
    env: { DENOISE: "echo" },
  }).output();
  assert(!success);
  assertMatch(new TextDecoder().decode(stderr), /SLURM_ARRAY_TASK_ID/);
});
