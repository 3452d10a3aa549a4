/** Operators that onnxruntime's CPU kernels do in fewer passes than their standard spelling. */
import { attributesOf } from "../../graph/value.ts";
import { extendLowering, type LowerOp } from "../lowering.ts";
import { inputGradAs } from "./conv_grad.ts";
import { portable } from "./portable.ts";

const MICROSOFT = "com.microsoft";

const ops: Record<string, LowerOp> = {
  conv2dInputGrad: inputGradAs(portable.ops.conv2d),
  // x·σ(αx) with α = 1
  silu: (e, _, [x]) => e.op("QuickGelu", [x], { alpha: { float: 1 } }, MICROSOFT),
  matmul: (e, value, inputs) => {
    const { transposeA, transposeB } = attributesOf<Record<string, boolean>>(value.node);
    if (!transposeA && !transposeB) return e.op("MatMul", inputs);
    return e.op("FusedMatMul", inputs, {
      transA: transposeA ? 1 : 0,
      transB: transposeB ? 1 : 0,
    }, MICROSOFT);
  },
};

export const fused = extendLowering(portable, "fused", ops);
