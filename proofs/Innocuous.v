(** * Innocuous double rounding: one operation in binary64, then binary32.

    errbound encloses the operations +, -, *, / and the square root on numbers of binary32 by
    binary64 arithmetic, rounded to binary32 afterwards ([Step.compute_], [norm.py]). Since
    53 >= 2 * 24 + 2 the first rounding changes nothing: the result is the exact one rounded once
    (Figueroa 1995; proved in Flocq by Roux). Numbers of the 16-bit formats are numbers of binary32,
    so this covers them too.

    Depends on: [Format.v] (formats are well formed), Flocq's [Double_rounding]. *)

From Coq Require Import Reals ZArith Lia.
From Flocq Require Import Core.
Require Import Flocq.Prop.Double_rounding.
From Errbound Require Import Statement Format.
Open Scope R_scope.

(** A real number that binary64 rounds before binary32 does, without a trace. *)
Definition innocuous (x : R) : Prop := fl binary32 (fl binary64 x) = fl binary32 x.

Lemma number_FLT x : number binary32 x -> FLT_format radix2 (-149) 24 x.
Proof.
  intros H; apply FLT_format_generic; [|exact H]; apply (precision_positive binary32).
  apply binary32_well_formed.
Qed.

Theorem one_operation x y : number binary32 x -> number binary32 y ->
  innocuous (x + y) /\ innocuous (x - y) /\ innocuous (x * y) /\
  (y <> 0 -> innocuous (x / y)) /\ innocuous (sqrt x).
Proof.
  intros Hx%number_FLT Hy%number_FLT; unfold innocuous, fl, fexp; simpl.
  assert (P : Prec_gt_0 24) by reflexivity; assert (P' : Prec_gt_0 53) by reflexivity.
  repeat split.
  - apply round_round_plus_FLT; auto; lia.
  - apply round_round_minus_FLT; auto; lia.
  - apply round_round_mult_FLT; auto with typeclass_instances; lia.
  - intros Hy0; apply round_round_div_FLT; auto; try lia; exists 1%Z; reflexivity.
  - apply round_round_sqrt_FLT; auto; lia.
Qed.
