import { assertEquals, assertThrows } from "@std/assert";
import {
  configTimesteps,
  parseSchedulerConfig,
  requireTimesteps,
  roundHalfEven,
  scheduleFor,
  solverTimesteps,
  spacedTimesteps,
} from "../src/diffusion/mod.ts";
import { InputError } from "../src/errors.ts";

Deno.test("halves round to the even neighbour", () => {
  assertEquals([0.5, 1.5, 2.5, 3.5, -0.5, 2.4999, 2.6].map(roundHalfEven), [0, 2, 2, 4, 0, 2, 3]);
  assertEquals(spacedTimesteps(16, 1000, "trailing")[1], 937); // 1000 − 62.5 = 937.5 → 938
});

Deno.test("any number of steps up to T gives that many timesteps, strictly descending", () => {
  for (const spacing of ["leading", "linspace", "trailing"] as const) {
    for (const T of [1, 2, 7, 100]) {
      for (let n = 1; n <= T; n++) {
        assertEquals(requireTimesteps(spacedTimesteps(n, T, spacing), T).length, n);
      }
    }
  }
});

Deno.test("trailing has no timestep before the first, where diffusers has a -1", () => {
  for (let n = 1; n <= 1000; n++) {
    const last = spacedTimesteps(n, 1000, "trailing").at(-1)!;
    if (last < 0) throw new Error(`n = ${n} ends at ${last}`);
  }
});

Deno.test("more steps than T, none, or a part of one are refused", () => {
  for (const n of [0, -1, 1.5, NaN, 1001]) {
    for (const spacing of ["leading", "linspace", "trailing"] as const) {
      assertThrows(() => spacedTimesteps(n, 1000, spacing), InputError, `found ${n}`);
    }
    const config = parseSchedulerConfig({});
    assertThrows(() => solverTimesteps(n, scheduleFor(config), config), InputError, `found ${n}`);
    const trailing = { ...config, timestep_spacing: "trailing" as const };
    const solver = () => solverTimesteps(n, scheduleFor(config), trailing);
    assertThrows(solver, InputError, `from 1 to 1000 (the model has 1000 timesteps), found ${n}`);
  }
});

Deno.test("an offset shifts leading, and is refused where it leads past T", () => {
  assertEquals(spacedTimesteps(4, 100, "leading", 1), [76, 51, 26, 1]);
  assertThrows(() => spacedTimesteps(100, 100, "leading", 1), InputError, "steps_offset");
});

Deno.test("a config without a spacing means leading for DDPM and linspace for the solvers", () => {
  const config = parseSchedulerConfig({});
  assertEquals(configTimesteps(4, 1000, config), [750, 500, 250, 0]);
  assertEquals(solverTimesteps(4, scheduleFor(config), config), [999, 749, 500, 250]);
});

Deno.test("the solvers start above lambda_min_clipped", () => {
  const config = parseSchedulerConfig({
    beta_schedule: "squaredcos_cap_v2",
    lambda_min_clipped: -5.1,
  });
  const schedule = scheduleFor(config);
  const first = solverTimesteps(20, schedule, config)[0];
  assertEquals(first, 995);
  assertEquals(schedule.lambda(first + 1) < -5.1, true);
});

Deno.test("a list of timesteps is checked and its culprit named", () => {
  assertEquals(requireTimesteps([999, 500.5, 0], 1000), [999, 500.5, 0]);
  assertThrows(() => requireTimesteps([], 1000), InputError, "at least one");
  assertThrows(() => requireTimesteps([1000], 1000), InputError, "timesteps[0]");
  assertThrows(() => requireTimesteps([5, -1], 1000), InputError, "timesteps[1]");
  assertThrows(() => requireTimesteps([5, NaN], 1000), InputError, "found NaN");
  assertThrows(() => requireTimesteps([5, 5], 1000), InputError, "less than the one before (5)");
  // Fractional ones could be as many as somebody likes.
  const halves = Array.from({ length: 19 }, (_, i) => 9 - i / 2);
  assertThrows(() => requireTimesteps(halves, 10), InputError, "at most 10");
});

Deno.test("trailing timesteps of a solver end where there are no more, below a clipped λ too", () => {
  const clipped = (lambda_min_clipped?: number) =>
    parseSchedulerConfig({ timestep_spacing: "trailing", lambda_min_clipped });
  const schedule = scheduleFor(clipped());
  const at = (lambda?: number) => solverTimesteps(10, schedule, clipped(lambda));
  assertEquals(at(), [999, 899, 799, 699, 599, 499, 399, 299, 199, 99]);
  // λ falls with t: 900 … 999 are below it, and there is room for nine.
  assertEquals(at(schedule.lambda(899)), [899, 799, 699, 599, 499, 399, 299, 199, 99]);
});

Deno.test("a clipped λ leaves fewer timesteps to divide, whatever the spacing", () => {
  const config = (keys: Record<string, unknown>) => parseSchedulerConfig(keys);
  const schedule = scheduleFor(config({}));
  const lambda_min_clipped = schedule.lambda(900);
  // λ falls with t: of the thousand timesteps 901 are left, 0 … 900.
  const at = (n: number, keys: Record<string, unknown>) =>
    solverTimesteps(n, schedule, config({ ...keys, lambda_min_clipped }));
  const leading = { timestep_spacing: "leading" }, linspace = { timestep_spacing: "linspace" };
  assertEquals(at(9, leading), [810, 720, 630, 540, 450, 360, 270, 180, 90]);
  assertEquals(at(9, { ...leading, steps_offset: 1 }), [
    811,
    721,
    631,
    541,
    451,
    361,
    271,
    181,
    91,
  ]);
  assertEquals(at(9, linspace), [900, 800, 700, 600, 500, 400, 300, 200, 100]);
  assertEquals(at(9, {}), at(9, linspace), "what a solver's class means without a spacing");
  assertEquals(at(900, linspace).length, 900);
  assertThrows(() => at(901, linspace), InputError, "from 1 to 900");
});

Deno.test("timesteps lie between the first and the last, fractions too, and are no more than there are", () => {
  assertEquals(requireTimesteps([9, 8.5, 0.25], 10), [9, 8.5, 0.25]);
  for (const t of [9.5, 9.0001, 10, -0.5, Infinity]) {
    assertThrows(
      () => requireTimesteps([t], 10),
      InputError,
      "timesteps[0]: expected a number from 0 to 9",
    );
  }
  const all = Array.from({ length: 10 }, (_, i) => 9 - i);
  assertEquals(requireTimesteps(all, 10).length, 10);
  const eleven = Array.from({ length: 11 }, (_, i) => 9 - 0.9 * i);
  assertThrows(
    () => requireTimesteps(eleven, 10),
    InputError,
    "at most 10, as many as there are, found 11",
  );
  assertThrows(
    () => requireTimesteps([5, 3, 4], 10),
    InputError,
    "timesteps[2]: expected less than the one before (3), found 4",
  );
});

Deno.test("one step is where its spacing begins: leading and linspace at 0, trailing at the end", () => {
  assertEquals(
    spacedTimesteps(4, 1000),
    spacedTimesteps(4, 1000, "leading", 0),
    "unless it is said",
  );
  assertEquals(spacedTimesteps(1, 1000, "leading"), [0]);
  assertEquals(spacedTimesteps(1, 1000, "linspace"), [0]);
  assertEquals(spacedTimesteps(1, 1000, "trailing"), [999]);
  assertEquals(spacedTimesteps(2, 1000, "linspace"), [999, 0]);
  assertEquals(spacedTimesteps(3, 10, "leading"), [6, 3, 0]);
});

Deno.test("what a config says of its timesteps is how they are spaced, and what does not fit is told by its number", () => {
  const at = (keys: Record<string, unknown>) => configTimesteps(4, 100, parseSchedulerConfig(keys));
  assertEquals(at({ steps_offset: 1 }), [76, 51, 26, 1]);
  assertEquals(at({ timestep_spacing: "leading" }), [75, 50, 25, 0]);
  assertEquals(at({ timestep_spacing: "linspace", steps_offset: 1 }), [99, 66, 33, 0]);
  assertEquals(at({ timestep_spacing: "trailing", steps_offset: 1 }), [99, 74, 49, 24]);
  assertThrows(
    () => at({ steps_offset: 25 }),
    InputError,
    "steps_offset: 25 puts timestep 100 outside 0 … 99; take fewer steps, or another timestep_spacing",
  );
  const steps =
    "steps: expected a whole number from 1 to 100 (the model has 100 timesteps), found ";
  for (const n of [0, 101]) assertThrows(() => spacedTimesteps(n, 100), InputError, `${steps}${n}`);
  const config = parseSchedulerConfig({ num_train_timesteps: 100 });
  const schedule = scheduleFor(config);
  assertThrows(
    () => solverTimesteps(100, schedule, config),
    InputError,
    "from 1 to 99 (the model has 100 timesteps), found 100",
  );
  const trailing = { ...config, timestep_spacing: "trailing" as const };
  assertEquals(solverTimesteps(100, schedule, trailing).length, 100);
});
