/** Which seeds flags ask for. */
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { seedsOf } from "../src/cli/sampling_options.ts";
import { parseSeeds } from "../src/cli/values.ts";
import { InputError } from "../src/errors.ts";
import { cli } from "./cli.ts";

type Flags = Parameters<typeof seedsOf>[0];
const of = (flags: Partial<Flags>, count = 3) => seedsOf(flags as Flags, count);
const LAST = 2 ** 32 - 1;

Deno.test("seeds are a list, or a first one and how many, or the first few", () => {
  assertEquals(of({}), [0, 1, 2]);
  assertEquals(of({ seed: "7" }), [7]);
  assertEquals(of({ n: "2" }), [0, 1]);
  assertEquals(of({ seed: "7", n: "2" }), [7, 8]);
  assertEquals(of({ seeds: "0-2, 9,4" }), [0, 1, 2, 9, 4]);
  assertEquals(of({ seeds: " 3 - 5 ,1" }), [3, 4, 5, 1]);
});

Deno.test("the last seed may be asked for, and none behind it", () => {
  assertEquals(of({ seed: `${LAST}` }), [LAST]);
  assertEquals(of({ seed: `${LAST - 2}`, n: "3" }), [LAST - 2, LAST - 1, LAST]);
  assertEquals(parseSeeds(`${LAST - 1}-${LAST}`), [LAST - 1, LAST]);
  const refused: [Partial<Flags>, string][] = [
    [{ seed: `${LAST}`, n: "2" }, "seeds end at 4294967295"],
    [{ seed: `${LAST - 2}`, n: "4" }, "seeds end at 4294967295"],
    [{ seed: `${LAST + 1}` }, "--seed: expected a whole number from 0 to 4294967295"],
    [{ seed: "-1" }, "--seed: expected a whole number from 0 to 4294967295"],
    [{ n: "0" }, "--n: expected a whole number from 1 to 10000000"],
    [{ n: "10000001" }, "--n: expected a whole number from 1 to 10000000"],
    [{ seeds: `${LAST}-${LAST + 1}` }, "--seeds: expected seeds from 0 to 4294967295"],
    [{ seeds: "3-1" }, "--seeds: expected seeds"],
    [{ seeds: "1", n: "1" }, "either --seeds, or --seed and --n"],
    [{ seeds: "1", seed: "1" }, "either --seeds, or --seed and --n"],
  ];
  for (const [flags, says] of refused) assertThrows(() => of(flags), InputError, says);
});

Deno.test("every command that takes a seed has the same rule for it", async () => {
  const whole = "expected a whole number from 0 to 4294967295, found";
  const refused: [string[], string][] = [
    [["restore", "x.png", "--scale", "2", "--seed", `${LAST}`, "--n", "2"], "--seed: seeds end at"],
    ...[`${LAST + 1}`, "-1", "1.5", "seven"].flatMap((seed): [string[], string][] => [
      [["restore", "x.png", "--scale", "2", `--seed=${seed}`], `--seed: ${whole} "${seed}"`],
      [["compare", `--seed=${seed}`], `--seed: ${whole} "${seed}"`],
      [["noise", "x.png", `--seed=${seed}`], `--seed: ${whole} "${seed}"`],
      [["sample", `--with=${seed}`, "--out=x.png"], `--with: ${whole} "${seed}"`],
    ]),
  ];
  for (const [args, says] of refused) {
    const { code, err } = await cli(args);
    assertEquals(code, 2, args.join(" "));
    assertStringIncludes(err, says);
  }
});
