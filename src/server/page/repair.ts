/// <reference lib="dom" />
/** Giving a picture back what it lost: a hole painted into it, or its sharpness, size, colours, calm. */
import { ask, type Look } from "./answers.ts";
import { Brush } from "./brush.ts";
import { type Damage, damages, FEW, MANY } from "./damage.ts";
import { button, canvas, element, input, output, select, show, speak } from "./dom.ts";
import { Gallery } from "./gallery.ts";
import { black, encode, put, readBytes, torn } from "./pixels.ts";
import { fill, type ModelCard } from "./recipe.ts";
import { acceptPictures, unreadable } from "./upload.ts";
import { wipe } from "./wipe.ts";

/** Answers side by side. */
const ANSWERS = 3;

/** Looks at each answer on the way. */
const LOOKS = 20;

/** What the button says. */
const deeds: Readonly<Record<string, string>> = {
  hole: "Fill the hole",
  blur: "Sharpen it",
  small: "Enlarge it",
  grey: "Colour it",
  noise: "Clean it",
};

export interface RepairOptions {
  /** Told when answers are asked for. */
  onStart(): void;
  /** Told when nothing is being made any more. */
  onEnd(): void;
}

export class Repair {
  readonly #brush: Brush;
  readonly #gallery: Gallery;
  #model?: ModelCard;
  #source?: Blob;
  #picture?: ImageData;
  /** Whether the visitor chose the picture, or painted in it: then no other takes its place. */
  #kept = false;
  #running?: AbortController;

  constructor(readonly models: readonly ModelCard[], readonly options: RepairOptions) {
    this.#brush = new Brush(canvas("easel"), () => {
      this.#kept = true;
      this.#draw();
      this.#say(this.#missing);
    });
    this.#gallery = new Gallery(ANSWERS, (answer) => this.#choose(answer));
    wipe("easel", "restored");
    for (const kind of element("lost", HTMLElement).querySelectorAll("input")) {
      kind.addEventListener("change", () => this.#adapt());
    }
    input("amount").addEventListener("input", () => this.#change());
    element("repair-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.#restore();
    });
    acceptPictures("repair", "repair-file", (picture) => {
      this.show(picture).catch(() => this.#fail(unreadable(picture)));
    });
  }

  /** Takes the weights that are chosen elsewhere on the page, or such of their shape as restore. */
  async use(chosen: ModelCard): Promise<void> {
    const shape = (model: ModelCard) => String(model.denoise.shape);
    const model = [chosen, ...this.models].find((model) =>
      model.denoise.restores && shape(model) === shape(chosen)
    );
    show("repair-stage", model !== undefined);
    show("lost", model !== undefined);
    show("repair-none", model === undefined);
    if (model === undefined || model === this.#model) return;
    const before = this.#model;
    this.#model = model;
    const { labels, shape: [channels, height, width] } = model.denoise;
    fill(select("repair-label"), [
      ["", "what the picture says"],
      ...labels.map((name) => [name, name]),
    ]);
    show("repair-label-field", labels.length > 0);
    input("brush").max = String(Math.ceil(Math.max(width, height) / 2));
    input("brush").value = String(Math.max(1, Math.round(width / 6)));
    show("lost-grey", channels === 3);
    show("lost-small", amountsOf("small", model).length > 0);
    this.#adapt();
    const fits = before && shape(before) === shape(model);
    if (this.#source && !fits) await this.#read(this.#source);
  }

  /** Puts up another picture; the page's own gives way to the visitor's. */
  async show(picture: Blob, byVisitor = true): Promise<void> {
    if (this.#kept && !byVisitor) return;
    await this.#read(picture);
    this.#kept = byVisitor;
  }

  async #read(source: Blob): Promise<void> {
    const [, height, width] = this.#model?.denoise.shape ?? [3, 32, 32];
    const picture = await readBytes(source, () => [width, height]);
    this.#source = source;
    this.#hang(picture);
    // Something to begin with: where a face may be.
    const { hole } = this.#brush;
    const at = [width / 2, height * 0.28] as const;
    hole.stroke(at, at, Math.round(width * 0.44), 1);
    this.#change();
  }

  #hang(picture: ImageData): void {
    this.#picture = picture;
    this.#brush.begin(picture.width, picture.height);
  }

  get #kind(): string {
    const chosen = element("lost", HTMLElement).querySelector("input:checked");
    return chosen instanceof HTMLInputElement ? chosen.value : "hole";
  }

  get #damage(): Damage | undefined {
    return damages[this.#kind];
  }

  get #amount(): number {
    return amountsOf(this.#kind, this.#model!)[Number(input("amount").value)];
  }

  get #missing(): string {
    return `${Math.round(this.#brush.hole.share * 100)} % of the picture is missing`;
  }

  /** Another thing is lost. */
  #adapt(): void {
    const kind = this.#kind, painted = kind === "hole";
    this.#brush.enabled = painted;
    show("brush-tools", painted);
    const easel = canvas("easel");
    easel.classList.toggle("painted", painted);
    easel.tabIndex = painted ? 0 : -1;
    easel.setAttribute("role", painted ? "application" : "img");
    button("restore").textContent = deeds[kind];
    if (!painted) {
      const amounts = amountsOf(kind, this.#model!);
      input("amount").max = String(amounts.length - 1);
      input("amount").value = String(Math.min(this.#damage!.usual, amounts.length - 1));
      show("amount-field", amounts.length > 1);
    } else show("amount-field", false);
    this.#change();
  }

  /** Something else is to be restored: the answers are no longer its. */
  #change(): void {
    this.#stop();
    this.#gallery.clear();
    show("wipe-field", false);
    canvas("restored").hidden = true;
    const damage = this.#damage;
    if (damage) {
      const text = damage.tell(this.#amount);
      output("amount-text").textContent = text;
      input("amount").setAttribute("aria-valuetext", text);
    }
    this.#draw();
    this.#say(damage ? "" : this.#missing);
  }

  /** What is left of the picture. */
  #draw(): void {
    if (!this.#picture) return;
    const { width, height } = this.#picture;
    const easel = canvas("easel");
    element("frame", HTMLElement).style.aspectRatio = `${width} / ${height}`;
    if (!this.#damage) return put(easel, torn(this.#picture, this.#brush.hole.missing));
    put(easel, this.#left());
  }

  /** The damaged picture in its own size. */
  #left(): ImageData {
    return this.#damage!.of(this.#picture!, this.#amount, this.#model!.denoise.shape[0]);
  }

  async #restore(): Promise<void> {
    const picture = this.#picture, model = this.#model!;
    if (!picture) return;
    this.#stop();
    const damage = this.#damage;
    const { share } = this.#brush.hole;
    const missing = this.#brush.hole.missing.slice();
    if (!damage && share === 0) {
      return this.#fail(
        "Paint a hole into the picture first: with mouse or finger, or with space.",
      );
    }
    const running = this.#running = new AbortController();
    const { signal } = running;
    this.options.onStart();
    this.#say("waiting for the network …");
    speak(`${deeds[this.#kind]}: begun`);
    this.#gallery.begin(canvas("easel"), damage ? undefined : { picture, missing });
    try {
      const label = select("repair-label").value;
      const { guidance, recommended } = model.denoise;
      const question = {
        path: damage ? "v1/restorations" : "v1/images/edits",
        fields: {
          model: model.id,
          n: String(ANSWERS),
          seed: String(crypto.getRandomValues(new Uint32Array(1))[0] % 10_000),
          steps: String(damage?.steps ?? (share < 0.5 ? FEW : MANY)),
          stream: "true",
          partial_images: String(LOOKS),
          ...(label === "" ? {} : { label }),
          ...(label === "" || !guidance ? {} : { guidance: String(recommended.guidance) }),
          ...damage?.fields(this.#amount),
        },
        files: {
          image: await encode(damage ? this.#left() : picture),
          ...(damage ? {} : { mask: await encode(torn(black(picture), missing)) }),
        },
      };
      let looks = 0;
      let done: Look["done"];
      for await (const look of ask(question, signal)) {
        const answer = await readBytes(look.png, (width, height) => [width, height]);
        if (signal.aborted) return;
        this.#gallery.look(look.index, answer, look.done?.seed);
        done = look.done ?? done;
        looks++;
        if (damage && look.index === this.#gallery.chosen) this.#reveal(answer);
        const part = looks / ANSWERS / Math.min(LOOKS, Number(question.fields.steps));
        if (!done) this.#say(`step by step: ${Math.min(99, Math.round(part * 100))} %`);
      }
      const by = done ? ` by ${done.scheduler} in ${done.steps} steps` : "";
      this.#say(`three answers${by}; choose one to ${damage ? "look closer" : "paint on in it"}`);
      speak(`Done: three answers${by}`);
      show("keep", true);
    } catch (error) {
      if (signal.aborted) return;
      this.#fail(error instanceof Error ? error.message : String(error));
    } finally {
      if (running === this.#running) {
        this.#running = undefined;
        this.options.onEnd();
      }
    }
  }

  #stop(): void {
    this.#running?.abort();
    if (this.#running) this.options.onEnd();
    this.#running = undefined;
  }

  #reveal(answer: ImageData): void {
    const restored = canvas("restored");
    put(restored, answer);
    restored.hidden = false;
    show("wipe-field", true);
  }

  /** An answer that the visitor chose: looked at beside the damage, or painted on in. */
  #choose(answer: ImageData): void {
    if (this.#damage) return this.#reveal(answer);
    this.#kept = true;
    this.#hang(answer);
    this.#draw();
    this.#say("paint another hole, or choose another answer");
    canvas("easel").focus();
  }

  #say(text: string): void {
    output("repair-status").classList.remove("error");
    output("repair-status").textContent = text;
  }

  #fail(text: string): void {
    output("repair-status").classList.add("error");
    output("repair-status").textContent = text;
    speak(text);
  }
}

/** How much of something a picture of these weights' size can lose. */
function amountsOf(kind: string, { denoise: { shape: [, height, width] } }: ModelCard) {
  const { amounts } = damages[kind];
  return kind === "small"
    ? amounts.filter((n) => width % n === 0 && height % n === 0 && n < Math.min(width, height))
    : amounts;
}
