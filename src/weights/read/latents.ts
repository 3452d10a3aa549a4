/** Pipelines whose network makes latents rather than pixels, told by their model_index.json. */
import { InputError } from "../../errors.ts";

/** Names of pipeline parts, and of their classes, that turn latents into pictures. */
const decoderParts = ["vae", "vqvae", "movq"];
const decoderClasses = /^(VQModel|Autoencoder|AsymmetricAutoencoder|ConsistencyDecoder)/;

/** @throws InputError for a pipeline with a decoder, whose latents would be drawn as if they were pixels */
export function refuseLatents(modelIndex: unknown, where: string): void {
  for (const [part, value] of Object.entries(modelIndex ?? {})) {
    const className = Array.isArray(value) ? value[1] : undefined;
    if (typeof className !== "string") continue;
    if (decoderParts.includes(part) || decoderClasses.test(className)) {
      throw new InputError(
        `${where}: ${part} is ${className}: the network makes latents, which that would turn into pictures, and which is not read; networks of pixels are`,
      );
    }
  }
}
