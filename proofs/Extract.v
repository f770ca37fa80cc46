(** * Extraction: the formulas as an OCaml program, on Coq's own integers.

    Nothing is replaced by a library's numbers: [Z] and [positive] become inductive types, so the
    program computes what was proved. [agreement.ml] reads cases and prints results.

    Depends on: [Compute.v], [Check.v] ([check_sum], [image_sum]). *)

From Coq Require Import QArith Extraction ExtrOcamlBasic.
From Errbound Require Import Statement Rational Compute Check.

Extraction "formulas.ml" lite powQ unit_roundoffQ roundedQ ufpQ half_ulpQ product_relativeQ
  product_absoluteQ addition_absoluteQ read_errorQ sum_errorQ masterQ first_formQ height_formQ
  noiseQ check_sum image_sum inject_Z Qplus Qmult.
