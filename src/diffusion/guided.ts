/**
 * When a network is guided. At the noisiest times guidance throws away what is seldom, at the last ones
 * it has nothing left to decide: guided between the two alone, pictures are nearer to the real ones
 * under the same label (Kynkäänniemi et al. 2024).
 */
import { FieldError } from "../errors.ts";
import { check, number, type Type } from "../schema.ts";

/** The model's timesteps at which it is guided, both ends included. */
export type Guided = readonly [from: number, to: number];

const timestep = number(0);

/** Two timesteps; in text with a hyphen between them. */
export const guidedType: Type<Guided> = {
  expected: "two timesteps, the earlier first, as 170-880",
  accepts: (value): value is Guided =>
    Array.isArray(value) && value.length === 2 && value.every(timestep.accepts) &&
    value[0] <= value[1],
  fromText: (text) => {
    const ends = text.split("-").map((part) => timestep.fromText(part));
    return ends.length === 2 ? ends : text;
  },
};

/** The text that {@link guidedType} reads. */
export function guidedText(guided: Guided): string {
  return guided.join("-");
}

/** @throws FieldError for an interval that holds none of T timesteps */
export function checkGuided(guided: unknown, T: number): void {
  const [from] = check(guidedType, guided, "guided");
  if (from > T - 1) {
    throw new FieldError("guided", `timesteps from 0 to ${T - 1}`, guidedText(guided as Guided));
  }
}

/** Whether a network is asked for no class beside its class, to be guided by. */
export function isGuided(
  { guidance, guided }: { readonly guidance: number; readonly guided?: Guided },
  t: number,
): boolean {
  if (guidance === 1) return false;
  return guided === undefined || (t >= guided[0] && t <= guided[1]);
}
