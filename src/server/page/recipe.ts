/// <reference lib="dom" />
/** The visitor's choices: in the form, and in the page's address. */
import { element, input, output, select, show } from "./dom.ts";

/** What /v1/models says of one set of weights. */
export interface ModelCard {
  readonly id: string;
  readonly denoise: {
    readonly weights: string;
    readonly shape: readonly [number, number, number];
    readonly labels: readonly string[];
    readonly guidance: boolean;
    /** Whether they answer at every timestep, as restoring asks. */
    readonly restores: boolean;
    readonly recommended: { scheduler: string; steps: number; guidance: number };
    readonly schedulers: Readonly<Record<string, { description?: string; max_steps: number }>>;
  };
}

/** Steps that the slider offers; an address may ask for more. */
const MOST_STEPS = 250;

export class RecipeForm {
  constructor(readonly models: readonly ModelCard[]) {
    fill(select("weights"), models.map(({ id }) => [id, id]));
    show("weights-field", models.length > 1);
    this.#adapt();
    select("weights").addEventListener("change", () => this.#adapt());
    select("scheduler").addEventListener("change", () => {
      this.#limit();
      this.#tell();
    });
    for (const id of ["steps", "guidance"]) input(id).addEventListener("input", () => this.#tell());
  }

  get model(): ModelCard {
    return this.models.find(({ id }) => id === select("weights").value) ?? this.models[0];
  }

  get seed(): string {
    return input("seed").value.trim();
  }
  set seed(seed: string) {
    input("seed").value = seed;
  }

  /** The choices as an address' parameters; what the weights recommend is left out. */
  parameters(): URLSearchParams {
    const { denoise: { recommended, labels, guidance } } = this.model;
    const chosen = new URLSearchParams();
    const put = (name: string, value: string, usual: string | number) => {
      if (value !== String(usual)) chosen.set(name, value);
    };
    put("weights", this.model.id, this.models[0].id);
    put("scheduler", select("scheduler").value, recommended.scheduler);
    put("steps", input("steps").value, recommended.steps);
    if (labels.length) put("label", select("label").value, "");
    if (guidance) put("guidance", input("guidance").value, recommended.guidance);
    return chosen;
  }

  /** Fills the form from a page's address. */
  read(address: URLSearchParams): void {
    const weights = address.get("weights");
    if (weights && this.models.some(({ id }) => id === weights)) select("weights").value = weights;
    this.#adapt();
    for (const name of ["scheduler", "label"]) {
      const value = address.get(name);
      const list = select(name);
      if (value !== null && [...list.options].some((o) => o.value === value)) list.value = value;
    }
    this.#limit();
    for (const name of ["steps", "guidance"]) {
      const value = address.get(name);
      if (value === null || Number.isNaN(Number(value))) continue;
      input(name).max = String(Math.max(Number(input(name).max), Number(value)));
      input(name).value = value;
    }
    this.#tell();
  }

  /** Offers what the chosen weights know. */
  #adapt(): void {
    const { denoise } = this.model;
    fill(select("scheduler"), Object.keys(denoise.schedulers).map((name) => [name, name]));
    select("scheduler").value = denoise.recommended.scheduler;
    this.#limit();
    input("steps").value = String(denoise.recommended.steps);
    fill(select("label"), [
      ["", `the seed's: seed mod ${denoise.labels.length}`],
      ...denoise.labels.map((name) => [name, name]),
    ]);
    show("label-field", denoise.labels.length > 0);
    show("guidance-field", denoise.guidance);
    input("guidance").value = String(denoise.recommended.guidance);
    this.#tell();
  }

  /** Offers the steps that the chosen scheduler can make. */
  #limit(): void {
    const { max_steps } = this.model.denoise.schedulers[select("scheduler").value];
    input("steps").max = String(Math.min(MOST_STEPS, max_steps));
  }

  #tell(): void {
    output("steps-text").textContent = input("steps").value;
    output("guidance-text").textContent = input("guidance").value;
    const { schedulers } = this.model.denoise;
    const { value } = select("scheduler");
    element("scheduler-text", HTMLElement).textContent = schedulers[value]?.description ?? "";
  }
}

export function fill(list: HTMLSelectElement, options: readonly (readonly string[])[]): void {
  list.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
}
