/** What a folder's scheduler config asks of the sampler of its name: done, or said in a sentence. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { parseSchedulerConfig } from "../src/diffusion/mod.ts";
import { InputError } from "../src/errors.ts";
import { notObeyed, samplerOf } from "../src/weights/read/sampler.ts";

const said = (_class_name: string, keys: Record<string, unknown>) =>
  notObeyed(JSON.stringify({ _class_name, ...keys }), "scheduler_config.json");

const M = "DPMSolverMultistepScheduler", U = "UniPCMultistepScheduler", H = "HeunDiscreteScheduler";

Deno.test("options of diffusers' solvers that are not obeyed here are named with their values", () => {
  const cases: [string, string, unknown, string][] = [
    [M, "use_karras_sigmas", true, "dpmpp"],
    [M, "use_exponential_sigmas", true, "dpmpp"],
    [M, "use_beta_sigmas", true, "dpmpp"],
    [M, "use_lu_lambdas", true, "dpmpp"],
    [M, "solver_order", 3, "dpmpp"],
    [M, "solver_order", 1, "dpmpp"],
    [M, "solver_type", "heun", "dpmpp"],
    [M, "algorithm_type", "dpmsolver", "dpmpp"],
    [M, "algorithm_type", "sde-dpmsolver++", "dpmpp"],
    [M, "final_sigmas_type", "sigma_min", "dpmpp"],
    [U, "solver_order", 1, "unipc"],
    [U, "solver_order", 3, "unipc"],
    [U, "solver_type", "bh1", "unipc"],
    [U, "predict_x0", false, "unipc"],
    [U, "use_karras_sigmas", true, "unipc"],
    [U, "final_sigmas_type", "sigma_min", "unipc"],
    [H, "use_karras_sigmas", true, "heun"],
    [H, "timestep_spacing", "leading", "heun"],
    [H, "timestep_spacing", "linspace", "heun"],
  ];
  for (const [className, key, value, sampler] of cases) {
    const sentence = said(className, { timestep_spacing: "trailing", [key]: value });
    const expected = `scheduler_config.json: ${sampler} here does not obey ${key} ${
      JSON.stringify(value)
    }; its pictures are other ones than diffusers' with them`;
    assertEquals(sentence, expected);
  }
  const both = said(M, { solver_order: 3, use_karras_sigmas: true });
  assert(both?.includes("obey use_karras_sigmas true, solver_order 3;"), both);
  assert(said(H, {})?.includes('timestep_spacing "linspace"'), "the class' own default");
});

Deno.test("nothing is said where the pictures are diffusers' own", () => {
  const quiet: [string, Record<string, unknown>][] = [
    [M, {}],
    [M, { solver_order: 2, solver_type: "midpoint", algorithm_type: "dpmsolver++" }],
    // Gives the same pictures: the last step is of first order either way.
    [M, { lower_order_final: false, euler_at_final: true, final_sigmas_type: "zero" }],
    [M, { use_karras_sigmas: null, solver_type: "bh2", timestep_spacing: "leading" }],
    [U, { solver_type: "midpoint", predict_x0: true, lower_order_final: true }],
    [H, { timestep_spacing: "trailing", use_karras_sigmas: false }],
    // Whose sampler it is here is for the user to choose.
    ["DDPMScheduler", { use_karras_sigmas: true }],
    ["EulerDiscreteScheduler", { use_karras_sigmas: true }],
  ];
  for (const [className, keys] of quiet) assertEquals(said(className, keys), undefined);
  assertEquals(notObeyed('{"_class_name": "DDIMScheduler", "x": -Infinity}', "file"), undefined);
});

Deno.test("timesteps that are continuous are not t: the file is refused", () => {
  const json = { _class_name: "EulerDiscreteScheduler", timestep_type: "continuous" };
  assertThrows(() => parseSchedulerConfig(json), InputError, "timestep_type: expected");
  parseSchedulerConfig({ ...json, timestep_type: "discrete" });
});

Deno.test("no more steps are advised than a solver has room for", () => {
  const advised = (name: string, T: number) =>
    samplerOf(name, parseSchedulerConfig({ num_train_timesteps: T }))?.steps;
  assertEquals([1000, 20, 4, 1].map((T) => advised(M, T)), [20, 19, 3, 1]);
  const of = (name: unknown) => samplerOf(name, parseSchedulerConfig({}));
  for (const name of ["DDIMScheduler", "DDIMParallelScheduler"]) {
    assertEquals(of(name), { scheduler: "ddim", steps: 50 });
  }
  assertEquals([M, U, H].map(of), [
    { scheduler: "dpmpp", steps: 20 },
    { scheduler: "unipc", steps: 20 },
    { scheduler: "heun", steps: 20 },
  ]);
  for (const name of ["EulerDiscreteScheduler", "DDPMScheduler", "toString", "", undefined, 7]) {
    assertEquals(of(name), undefined);
  }
});
