/**
 * Pixel-art adventurers without end, composed of CC0 parts (README.md says whence): a people, a calling
 * and what both wear and carry, on a flat ground. A data plug-in: `train --data weights/heroes/data/heroes.ts`.
 */
import type { DataPlugin, DrawnPicture } from "../../../src/training/data/plugin.ts";
import { decodePng } from "../../../src/image/png.ts";

const SIDE = 32;
/** Cells in a row of the sheet. */
const COLUMNS = 32;

const GROUNDS = [
  0xf2c66d,
  0xe98a6b,
  0x8fc1a9,
  0x86b6d9,
  0xb7a1d6,
  0xe8b4c8,
  0xd9d2c3,
  0x5b6c8a,
];

/** What tells a people, whatever it wears. */
interface People {
  readonly body: RegExp;
  /** Hair of its own. */
  readonly hair?: RegExp;
  /** How much seldomer it wears its calling's hats: where the hair is what tells, never. */
  readonly hats?: number;
  /** Has hooves or claws, seldom in boots. */
  readonly barefoot?: true;
}

// Bodies that look like another people's in clothes are left out, and so is others' hair.
const PEOPLES: Readonly<Record<string, People>> = {
  human: { body: /^(human|demigod)_/, hair: /^(short|fem)_/ },
  elf: { body: /^(deep_)?elf_/, hair: /^(long|elf)_/, hats: 0 },
  dwarf: { body: /^deep_dwarf_/, hair: /^knot_red/, hats: 0 },
  orc: { body: /^lorc_[fm][3-6]/ },
  halfling: { body: /^halfling_/, hair: /^brown/, hats: 0 },
  gnome: { body: /^gnome_/, hair: /^(pigtail|ponytail)/, hats: 0 },
  kobold: { body: /^kobold2_/ },
  minotaur: { body: /^minotaur/, hats: 0.2, barefoot: true },
  mummy: { body: /^mummy/ },
  vampire: { body: /^vampire/, hair: /^short_black/ },
  ghoul: { body: /^ghoul2/ },
  demonspawn: { body: /^demonspawn_(black|red)/ },
  draconian: { body: /^draconian/, barefoot: true },
  gargoyle: { body: /^gargoyle/ },
  tengu: { body: /^tengu/, hair: /^tengu_comb/, hats: 0.5, barefoot: true },
  spriggan: { body: /^spriggan/, hair: /^green/ },
  formicid: { body: /^formicid/ },
  octopode: { body: /^octopode/ },
};

/** What some of a calling carry there, and how many of them do. */
interface Some {
  readonly share: number;
  readonly parts: RegExp;
}
interface Calling {
  /** The share in cloaks. */
  readonly cloak: number;
  readonly body: RegExp;
  readonly hand1: RegExp;
  readonly hand2?: Some;
  readonly head: Some;
}

const CALLINGS: Readonly<Record<string, Calling>> = {
  knight: {
    cloak: 0.35,
    body: /^(?!leather).*plate|scalemail|^metal|chain|mesh|breast|crystal|blue_gold/,
    hand1: /sword|(?<!pick_)axe|mace|flail_ball|lance|halberd|katana/,
    hand2: { share: 0.8, parts: /kite_shield_(?!round|skull|shaman)|tower_shield/ },
    head: { share: 0.7, parts: /helm_(?!horn)|dragonhelm|^iron|^full|^chain|^brown_gold/ },
  },
  wizard: {
    cloak: 0.2,
    // Neither the nobles' robes nor the monks': what is worn should tell who wears it.
    body: /^robe_(?!\w+_gold|rainbow|purple|blue_white|clouds|red3|white|brown|yellow)/,
    hand1: /^staff|^great_staff|^rod|orb|sceptre/,
    hand2: { share: 0.5, parts: /book|light_/ },
    head: { share: 0.75, parts: /^wizard|^hood|^turban|^cone/ },
  },
  ranger: {
    cloak: 0.5,
    body: /^leather(?!_heavy|_metal)|vest|jacket|vines|faerie|animal/,
    hand1: /(?<!cross)bow|arbalest|sling|^spear|blowgun|fustibalus/,
    head: { share: 0.6, parts: /^feather|^hood_(green|ybrown)|^bandana|^cap|^straw/ },
  },
  rogue: {
    cloak: 0.4,
    body: /^leather(?!_heavy|_metal)|^coat|^jacket|black_and_cloth|shirt_black|susp_black|^slit/,
    hand1: /dagger|knife|rapier|scimitar|whip|sickle|^club/,
    hand2: { share: 0.3, parts: /buckler|misc\/dagger|lantern/ },
    head: { share: 0.6, parts: /^hood_(black|gray)|^ninja|^bandana|^cap/ },
  },
  monk: {
    cloak: 0.1,
    body: /^monk|^karate|^china|^robe_(white|brown|yellow)/,
    hand1: /^quarterstaff|^stick/,
    head: { share: 0.35, parts: /^band_|^straw|^taiso|^turban/ },
  },
  barbarian: {
    cloak: 0.2,
    body: /animal|shoulder|belt|leather_heavy/,
    hand1: /executioner|battleaxe|war_axe|broad_axe|giant_club|pick|hook|trident/,
    hand2: { share: 0.25, parts: /skull|shield_round\d/ },
    head: { share: 0.5, parts: /horn|^viking|^bear/ },
  },
  noble: {
    cloak: 0.6,
    body: /^dress|robe_(\w+_gold|rainbow|purple|blue_white|clouds|red3)|^coat/,
    hand1: /sceptre|rapier|fan|^rod|orb/,
    hand2: { share: 0.25, parts: /book|shield_gold/ },
    head: { share: 0.6, parts: /^crown|^feather|^turban/ },
  },
};

export const peoples = Object.keys(PEOPLES);
export const callings = Object.keys(CALLINGS);
/**
 * Both in step: 18 and 7 have no factor in common, so that the first 126 are every pair once, and
 * seeds in a row, whose labels are these in turn, are heroes of all peoples and callings.
 */
const pairs = Array.from({ length: peoples.length * callings.length }, (_, i) => {
  return `${peoples[i % peoples.length]}-${callings[i % callings.length]}`;
});
const classes = [...pairs, ...peoples, ...callings];

const beside = (name: string) => new URL(name, import.meta.url);
const parts: readonly string[] = JSON.parse(await read("parts.json", "text"));
const sheet = decodePng(await read("parts.png", "bytes"), "parts.png");

async function read(name: string, as: "text"): Promise<string>;
async function read(name: string, as: "bytes"): Promise<Uint8Array>;
async function read(name: string, as: "text" | "bytes"): Promise<string | Uint8Array> {
  const response = await fetch(beside(name));
  return as === "text" ? await response.text() : new Uint8Array(await response.arrayBuffer());
}

/** The sheet's cells of a layer whose names after `layer/` fit. */
function cells(layer: string, fits = /./): number[] {
  return parts.flatMap((part, cell) =>
    part.startsWith(`${layer}/`) && fits.test(part.slice(layer.length + 1)) ? [cell] : []
  );
}

/** Cells by layer, for every people and calling. */
const looks = new Map(peoples.map((people) => {
  const { body, hair } = PEOPLES[people];
  return [people, { body: cells("base", body), hair: hair ? cells("hair", hair) : [] }];
}));
const wardrobe = new Map(callings.map((calling) => {
  const { body, hand1, hand2, head } = CALLINGS[calling];
  return [calling, {
    body: cells("body", body),
    hand1: cells("hand1", hand1),
    hand2: hand2 ? cells("hand2", hand2.parts) : [],
    head: cells("head", head.parts),
  }];
}));
const anyones = {
  wings: cells("drcwing"),
  cloak: cells("cloak"),
  boots: cells("boots"),
  legs: cells("legs"),
  gloves: cells("gloves"),
};

/** What a hero wears, the hindmost first. */
function dress(people: string, calling: string, random: () => number): number[] {
  const hero: number[] = [];
  const wear = (share: number, from: readonly number[]) => {
    // Both draws are always made, so that a share changed in one place changes nothing elsewhere.
    const [worn, which] = [random() < share, random()];
    if (worn && from.length > 0) hero.push(from[Math.floor(which * from.length)]);
  };
  const { cloak, hand2, head } = CALLINGS[calling];
  const { hats = 1, barefoot } = PEOPLES[people];
  const look = looks.get(people)!;
  const own = wardrobe.get(calling)!;
  // Eight arms fit into no clothes, so what they hold has to tell the calling.
  const clothed = people === "octopode" ? 0 : 1;
  const armedShare = people === "octopode" ? 1 : 0.85;

  wear(people === "draconian" ? 0.4 : 0, anyones.wings);
  wear(clothed * cloak, anyones.cloak);
  wear(1, look.body);
  wear(clothed * (barefoot ? 0.2 : 0.7), anyones.boots);
  wear(clothed * 0.85, anyones.legs);
  wear(clothed * 0.97, own.body);
  // Few, as a helmet leaves no other skin to be seen than the hands'.
  wear(clothed * 0.2, anyones.gloves);
  wear(armedShare, own.hand1);
  wear(hand2?.share ?? 0, own.hand2);
  wear(1, look.hair);
  wear(hats * head.share, own.head);
  return hero;
}

/** One colour everywhere, then each part over it by its alpha. */
function paint(ground: number, hero: readonly number[]): Uint8Array {
  const pixels = new Uint8Array(SIDE * SIDE * 3);
  for (let p = 0; p < SIDE * SIDE; p++) {
    for (let c = 0; c < 3; c++) pixels[3 * p + c] = (ground >> (16 - 8 * c)) & 0xff;
  }
  for (const cell of hero) {
    const corner = Math.floor(cell / COLUMNS) * SIDE * sheet.width + (cell % COLUMNS) * SIDE;
    for (let y = 0; y < SIDE; y++) {
      for (let x = 0; x < SIDE; x++) {
        const from = 4 * (corner + y * sheet.width + x);
        const to = 3 * (y * SIDE + x);
        const alpha = sheet.pixels[from + 3] / 255;
        for (let c = 0; c < 3; c++) {
          pixels[to + c] = Math.round(
            alpha * sheet.pixels[from + c] + (1 - alpha) * pixels[to + c],
          );
        }
      }
    }
  }
  return pixels;
}

/** Who a hero is. */
interface Hero {
  readonly people: string;
  readonly calling: string;
  /** What training calls it: both, or one of the two alone. */
  readonly label: string;
}

/**
 * The heroes with a label of one's choice: the same pictures, whatever they are called.
 * @param drawn the peoples, all equally often; whoever is there twice comes twice as often
 */
export function heroesBy(
  plugin: Pick<DataPlugin, "name" | "description" | "classes">,
  labelOf: (hero: Hero) => string,
  drawn: readonly string[] = peoples,
): DataPlugin {
  return {
    ...plugin,
    api: 1,
    license: "CC0 1.0 (tiles of Dungeon Crawl Stone Soup)",
    picture({ random }): DrawnPicture {
      const one = <T>(of: readonly T[]) => of[Math.floor(random() * of.length)];
      const people = one(drawn), calling = one(callings), ground = one(GROUNDS);
      const named = random();
      const label = named < 0.6 ? `${people}-${calling}` : named < 0.8 ? people : calling;
      const pixels = paint(ground, dress(people, calling, random));
      const hero = { people, calling, label };
      return { pixels, width: SIDE, height: SIDE, channels: 3, label: labelOf(hero) };
    },
  };
}

export default heroesBy({
  name: "heroes",
  description: "adventurers of 18 peoples and 7 callings, 32×32, as many as one likes",
  classes,
}, ({ label }) => label);
