(** * Innocuous double rounding: one operation in binary64, then a narrower format.

    errbound encloses the operations +, -, *, / and the square root on stored numbers by binary64
    arithmetic, rounded to the format of the operation afterwards ([Step.compute_], [norm.py]):
    binary32, or the storage format where every single operation rounds. If 2p + 2 <= 53 the first
    rounding changes nothing: the result is the exact one rounded once (Figueroa 1995; proved in
    Flocq by Roux). Every format of errbound but binary64 is of this kind ([narrow_enough]).

    Depends on: [Format.v] (formats are well formed), Flocq's [Double_rounding]. *)

From Coq Require Import Reals List ZArith Lia.
From Flocq Require Import Core.
Require Import Flocq.Prop.Double_rounding.
From Errbound Require Import Statement Format.
Import ListNotations.
Open Scope R_scope.

(** A real number that binary64 rounds before F does, without a trace. *)
Definition innocuous (F : format) (x : R) : Prop := fl F (fl binary64 x) = fl F x.

(** Twice the precision and two bits; no product or quotient of two numbers below binary64. *)
Definition narrow_enough (F : format) : Prop :=
  (1 < precision F /\ 2 * precision F + 2 <= 53 /\ quantum F <= 0 /\
   -1074 <= 2 * quantum F /\ -1074 <= quantum F - precision F - 1)%Z.

Lemma formats_narrow_enough :
  Forall narrow_enough [binary32; binary16; bfloat16; tf32; e4m3; e5m2].
Proof. repeat constructor; simpl; discriminate. Qed.

(** The square root is that of a number; all other operands are numbers of F, too. *)
Theorem one_operation F x y : narrow_enough F -> number F x -> number F y ->
  innocuous F (x + y) /\ innocuous F (x - y) /\ innocuous F (x * y) /\
  (y <> 0 -> innocuous F (x / y)) /\ innocuous F (sqrt x).
Proof.
  intros (Hp & Hpp & Hq & Hmul & Hdiv) Hx Hy.
  assert (P : Prec_gt_0 (precision F)) by (unfold Prec_gt_0; lia).
  assert (P' : Prec_gt_0 53) by reflexivity.
  apply (FLT_format_generic radix2 (quantum F) (precision F)) in Hx, Hy.
  unfold innocuous, fl, fexp; simpl quantum; simpl precision; repeat split.
  - apply round_round_plus_FLT; auto; lia.
  - apply round_round_minus_FLT; auto; lia.
  - apply round_round_mult_FLT; auto with typeclass_instances; lia.
  - intros Hy0; apply round_round_div_FLT; auto; try lia; exists 1%Z; reflexivity.
  - apply round_round_sqrt_FLT; auto; lia.
Qed.
