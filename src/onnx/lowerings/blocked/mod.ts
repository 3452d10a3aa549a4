/**
 * The lowering of training graphs for onnxruntime's native CPU provider, in blocked layout (NCHWc).
 */
import { extendLowering, type Lowering } from "../../lowering.ts";
import { fused } from "../fused.ts";
import { convLowerings } from "./conv.ts";
import { normLowerings } from "./norm.ts";
import { pointwiseLowerings } from "./pointwise.ts";

/**
 * Computes with pictures in blocks of channels (see `layout.ts`). For graphs whose weights are
 * computed; with constant weights onnxruntime does the same by itself, and better.
 * @param block channels in a block: 16 where the processor has AVX-512, 8 with AVX2; see
 * `blockSizeProbe`
 */
export function blocked(block: number): Lowering {
  return extendLowering(fused, `blocked${block}`, {
    ...pointwiseLowerings(block, fused),
    ...convLowerings(block, fused),
    ...normLowerings(block, fused),
  });
}
