import { assertEquals, assertThrows } from "@std/assert";
import { parseSchedulerConfig } from "../src/diffusion/mod.ts";
import { InputError } from "../src/errors.ts";

Deno.test("every scheduler_config.json of the golden folders reads", async () => {
  for (
    const folder of [
      "ddpm_legacy/scheduler",
      "ddpm_legacy_root",
      "class_conditional/scheduler",
      "learned_range/scheduler",
      "digits/scheduler",
    ]
  ) {
    const url = new URL(`./golden/${folder}/scheduler_config.json`, import.meta.url);
    const text = await Deno.readTextFile(url);
    const config = parseSchedulerConfig(text);
    assertEquals(parseSchedulerConfig(JSON.parse(text)), config);
    assertEquals(config.num_train_timesteps, 1000);
    const learned = folder.startsWith("learned_range");
    assertEquals(config.variance_type, learned ? "learned_range" : "fixed_small");
    assertEquals(config.beta_schedule, learned ? "squaredcos_cap_v2" : "linear");
  }
});

Deno.test("google/ddpm-cifar10-32's old file: what it lacks takes diffusers' defaults", () => {
  assertEquals(
    parseSchedulerConfig({
      _class_name: "DDPMScheduler",
      _diffusers_version: "0.1.1",
      beta_end: 0.02,
      beta_schedule: "linear",
      beta_start: 0.0001,
      clip_sample: true,
      num_train_timesteps: 1000,
      trained_betas: null,
      variance_type: "fixed_large",
    }),
    {
      num_train_timesteps: 1000,
      beta_start: 0.0001,
      beta_end: 0.02,
      beta_schedule: "linear",
      trained_betas: null,
      variance_type: "fixed_large",
      prediction_type: "epsilon",
      clip_sample: true,
      clip_sample_range: 1,
      thresholding: false,
      dynamic_thresholding_ratio: 0.995,
      sample_max_value: 1,
      timestep_spacing: null,
      steps_offset: 0,
      rescale_betas_zero_snr: false,
      set_alpha_to_one: true,
      lambda_min_clipped: -Infinity,
    },
  );
});

Deno.test("predict_epsilon: false is the old way to say sample", () => {
  assertEquals(parseSchedulerConfig({ predict_epsilon: false }).prediction_type, "sample");
  assertEquals(parseSchedulerConfig({ predict_epsilon: true }).prediction_type, "epsilon");
  const both = { predict_epsilon: false, prediction_type: "v_prediction" };
  assertEquals(parseSchedulerConfig(both).prediction_type, "v_prediction");
});

Deno.test("the log variances are read as what they mean, without diffusers' NaN", () => {
  const variance = (variance_type: string | null) =>
    parseSchedulerConfig({ variance_type }).variance_type;
  assertEquals(variance("fixed_small_log"), "fixed_small");
  assertEquals(variance("fixed_large_log"), "fixed_large");
  assertEquals(variance(null), "fixed_small");
});

Deno.test("Python's JSON reads, -Infinity and all, but not inside strings", () => {
  const text = `{"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity,
    "note": "NaN and \\"Infinity\\""}`;
  assertEquals(parseSchedulerConfig(text).lambda_min_clipped, -Infinity);
  assertEquals(parseSchedulerConfig('{"lambda_min_clipped": -5.1}').lambda_min_clipped, -5.1);
  assertThrows(() => parseSchedulerConfig("{"), InputError, "scheduler_config.json: expected JSON");
  assertThrows(() => parseSchedulerConfig("{", "mine"), InputError, "mine: expected JSON, found");
  const quoted = '{"_class_name": "a \\"Infinity\\" b"}';
  assertThrows(
    () => parseSchedulerConfig(quoted),
    InputError,
    String.raw`found "a \"Infinity\" b"`,
  );
});

Deno.test("what is not understood is refused by key and value", () => {
  const cases: [Record<string, unknown>, string, string][] = [
    [{ _class_name: "FlowMatchEulerDiscreteScheduler" }, "_class_name", "FlowMatchEuler"],
    [{ beta_schedule: "laplace" }, "beta_schedule", '"laplace"'],
    [{ prediction_type: "flow_prediction" }, "prediction_type", '"flow_prediction"'],
    [{ variance_type: "learned" }, "variance_type", '"learned"'],
    [{ timestep_spacing: "karras" }, "timestep_spacing", '"karras"'],
    [{ use_flow_sigmas: true }, "use_flow_sigmas", "true"],
    [{ num_train_timesteps: 0 }, "num_train_timesteps", "0"],
    [{ num_train_timesteps: "1000" }, "num_train_timesteps", '"1000"'],
    [{ num_train_timesteps: 10.5 }, "num_train_timesteps", "10.5"],
    [{ beta_start: "low" }, "beta_start", '"low"'],
    [{ clip_sample: 1 }, "clip_sample", "1"],
    [{ clip_sample_range: -1 }, "clip_sample_range", "-1"],
    [{ dynamic_thresholding_ratio: 1.5 }, "dynamic_thresholding_ratio", "1.5"],
    [{ steps_offset: -1 }, "steps_offset", "-1"],
    [{ trained_betas: [0.1, 1.5], num_train_timesteps: 2 }, "trained_betas", "1.5"],
    [{ trained_betas: [0.1, 0.2] }, "trained_betas", "found 2"],
  ];
  for (const [json, key, value] of cases) {
    const error = assertThrows(
      () => parseSchedulerConfig(json),
      InputError,
      `scheduler_config.json: ${key}: expected `,
    );
    if (!error.message.includes(value)) throw new Error(`${error.message} lacks ${value}`);
  }
  for (const json of [null, [], 3, "[]"]) {
    assertThrows(() => parseSchedulerConfig(json), InputError, "expected a JSON object");
  }
});

Deno.test("a flag that is null is false, as in diffusers, whatever a missing one is", () => {
  const flags = [
    "clip_sample",
    "set_alpha_to_one",
    "thresholding",
    "rescale_betas_zero_snr",
  ] as const;
  for (const flag of flags) assertEquals(parseSchedulerConfig({ [flag]: null })[flag], false);
  assertEquals(parseSchedulerConfig({}).clip_sample, true);
  assertEquals(parseSchedulerConfig({}).set_alpha_to_one, true);
});

Deno.test("trained betas are numbers between 0 and 1, as many as timesteps", () => {
  const betas = (trained_betas: unknown, num_train_timesteps = 2) =>
    parseSchedulerConfig({ trained_betas, num_train_timesteps }).trained_betas;
  assertEquals([betas([0.1, 0.9]), betas(null)], [[0.1, 0.9], null]);
  for (const wrong of [[0, 0.5], [0.5, 1], [-0.1, 0.5], [0.5, "0.5"], [], "0.1", { 0: 0.1 }]) {
    assertThrows(() => betas(wrong), InputError, "trained_betas: expected null or a list");
  }
  for (const count of [1, 3]) {
    assertThrows(
      () => betas(Array(count).fill(0.5)),
      InputError,
      `2 numbers (num_train_timesteps), found ${count}`,
    );
  }
});

Deno.test("continuous times, numbers that are none and a λ of infinity are refused by key", () => {
  const refused = (text: string, says: string) =>
    assertThrows(() => parseSchedulerConfig(text), InputError, says);
  assertEquals(parseSchedulerConfig({ timestep_type: "discrete" }).steps_offset, 0);
  refused(
    '{"timestep_type": "continuous"}',
    'timestep_type: expected discrete, found "continuous"',
  );
  refused('{"beta_start": NaN}', 'beta_start: expected a number of at least 0, found "NaN"');
  refused('{"beta_end": Infinity}', "beta_end: expected a number of at least 0, found");
  refused('{"lambda_min_clipped": Infinity}', "lambda_min_clipped: expected a number, found");
  refused('{"lambda_min_clipped": NaN}', 'lambda_min_clipped: expected a number, found "NaN"');
});

Deno.test("diffusers' schedulers of the same forward process are read, whatever they sample by", () => {
  const plain = parseSchedulerConfig({});
  for (
    const name of [
      ...["DDPM", "DDPMParallel", "DDIM", "DDIMParallel", "DDIMInverse", "PNDM"],
      ...["DPMSolverMultistep", "DPMSolverSinglestep", "DEISMultistep", "UniPCMultistep"],
      ...["HeunDiscrete", "EulerDiscrete", "EulerAncestralDiscrete", "LMSDiscrete"],
    ]
  ) {
    const keys = { _class_name: `${name}Scheduler`, solver_order: 3, use_flow_sigmas: false };
    assertEquals(parseSchedulerConfig(keys), plain, name);
  }
  const other = { _class_name: "ScoreSdeVeScheduler" };
  assertThrows(() => parseSchedulerConfig(other), InputError, "DDPMScheduler, DDPMParallel");
});

Deno.test("every key reaches the config, and is refused by its own name in whichever file", () => {
  const keys = {
    num_train_timesteps: 3,
    beta_start: 0.01,
    beta_end: 0.3,
    beta_schedule: "sigmoid",
    trained_betas: [0.1, 0.2, 0.3],
    variance_type: "learned_range",
    prediction_type: "sample",
    clip_sample: false,
    clip_sample_range: 2,
    thresholding: true,
    dynamic_thresholding_ratio: 0.5,
    sample_max_value: 3,
    timestep_spacing: "linspace",
    steps_offset: 1,
    rescale_betas_zero_snr: true,
    set_alpha_to_one: false,
    lambda_min_clipped: -5,
  };
  assertEquals(parseSchedulerConfig(keys), keys as ReturnType<typeof parseSchedulerConfig>);
  for (const key of Object.keys(keys)) {
    assertThrows(
      () => parseSchedulerConfig({ ...keys, [key]: { wrong: true } }, "mine.json"),
      InputError,
      `mine.json: ${key}: expected `,
    );
  }
});
