(** * Rationals: what a machine computes in place of real numbers.

    Each function [fQ] computes on [Q] what [f] of [Statement.v] means on the reals:
    [Q2R (fQ q) = f (Q2R q)]. Floating-point numbers are rationals, so nothing is approximated.
    The exponent of q = n/d follows from the digits of n and d; its significand is q divided by the
    quantum, rounded to an integer. Main results: [flQ_correct], [fl_upQ_correct],
    [fl_downQ_correct], [roundedQ_correct], [ufpQ_correct], [half_ulpQ_correct], [numberQ_correct],
    [well_formedQ_correct].

    Depends on: [Statement.v], Flocq, the standard library's [Q]. *)

From Coq Require Import Reals List ZArith QArith Qreals Qabs Lra Lia.
From Flocq Require Import Core.
From Errbound Require Import Statement.
Import ListNotations.
Open Scope R_scope.

(** ** 1. Rationals *)

Lemma Q2R_integer z : Q2R (inject_Z z) = IZR z.
Proof. unfold Q2R; simpl; field. Qed.

Lemma Q2R_0 : Q2R 0 = 0.
Proof. apply (Q2R_integer 0). Qed.

Lemma Q2R_1 : Q2R 1 = 1.
Proof. apply (Q2R_integer 1). Qed.

Lemma Q2R_half : Q2R (1 # 2) = / 2.
Proof. unfold Q2R; simpl; lra. Qed.

(** Common factors of two are removed: all that floating-point numbers ever have in common. *)
Fixpoint strip (n d : positive) : Q :=
  match n, d with xO n', xO d' => strip n' d' | _, _ => Zpos n # d end.

Definition lite (q : Q) : Q :=
  match Qnum q with
  | Z0 => 0%Q
  | Zpos n => strip n (Qden q)
  | Zneg n => (- strip n (Qden q))%Q
  end.

Lemma strip_correct n : forall d, (strip n d == Zpos n # d)%Q.
Proof.
  induction n as [n IH | n IH |]; intros d; try reflexivity.
  destruct d as [d | d |]; try reflexivity.
  simpl; rewrite IH; unfold Qeq; simpl; lia.
Qed.

Lemma Q2R_lite q : Q2R (lite q) = Q2R q.
Proof.
  apply Qeq_eqR; destruct q as [[| n | n] d]; unfold lite; simpl.
  - reflexivity.
  - apply strip_correct.
  - rewrite strip_correct; reflexivity.
Qed.

(** Comparisons, minimum, maximum, magnitude. *)
Lemma Rle_bool_Q a b : Rle_bool (Q2R a) (Q2R b) = Qle_bool a b.
Proof.
  case Rle_bool_spec; intros H; symmetry.
  - now apply Qle_bool_iff, Rle_Qle.
  - apply not_true_is_false; rewrite Qle_bool_iff; intros H'; apply Qle_Rle in H'; lra.
Qed.

Lemma Req_bool_Q a b : Req_bool (Q2R a) (Q2R b) = Qeq_bool a b.
Proof.
  case Req_bool_spec; intros H; symmetry.
  - now apply Qeq_bool_iff, eqR_Qeq.
  - apply not_true_is_false; rewrite Qeq_bool_iff; intros H'; now apply H, Qeq_eqR.
Qed.

Lemma Qle_bool_R a b : Qle_bool a b = true <-> Q2R a <= Q2R b.
Proof. rewrite Qle_bool_iff; split; [apply Qle_Rle | apply Rle_Qle]. Qed.

Definition Qlt_bool (a b : Q) : bool := negb (Qle_bool b a).

Lemma Qlt_bool_R a b : Qlt_bool a b = true <-> Q2R a < Q2R b.
Proof.
  unfold Qlt_bool; rewrite negb_true_iff, <- not_true_iff_false, Qle_bool_R; lra.
Qed.

Lemma Rlt_bool_Q a b : Rlt_bool (Q2R a) (Q2R b) = Qlt_bool a b.
Proof.
  case Rlt_bool_spec; intros H; symmetry; [now apply Qlt_bool_R|].
  apply not_true_iff_false; rewrite Qlt_bool_R; lra.
Qed.

Lemma Rcompare_Q a b : Rcompare (Q2R a) (Q2R b) = (a ?= b)%Q.
Proof.
  destruct (Qcompare_spec a b) as [H | H | H].
  - apply Rcompare_Eq, Qeq_eqR, H.
  - apply Rcompare_Lt, Qlt_Rlt, H.
  - apply Rcompare_Gt, Qlt_Rlt, H.
Qed.

Definition minQ (a b : Q) : Q := if Qle_bool a b then a else b.
Definition maxQ (a b : Q) : Q := if Qle_bool a b then b else a.

Lemma Q2R_min a b : Q2R (minQ a b) = Rmin (Q2R a) (Q2R b).
Proof.
  unfold minQ; rewrite <- Rle_bool_Q; case Rle_bool_spec; intros H; symmetry.
  - now apply Rmin_left.
  - now apply Rmin_right, Rlt_le.
Qed.

Lemma Q2R_max a b : Q2R (maxQ a b) = Rmax (Q2R a) (Q2R b).
Proof.
  unfold maxQ; rewrite <- Rle_bool_Q; case Rle_bool_spec; intros H; symmetry.
  - now apply Rmax_right.
  - now apply Rmax_left, Rlt_le.
Qed.

Lemma Q2R_abs q : Q2R (Qabs q) = Rabs (Q2R q).
Proof.
  destruct q as [n d]; unfold Q2R, Qabs; simpl.
  rewrite abs_IZR, Rabs_mult, (Rabs_pos_eq (/ _)); [easy |].
  left; apply Rinv_0_lt_compat, IZR_lt; lia.
Qed.

(** Powers of two. *)
Definition powQ (e : Z) : Q :=
  if (0 <=? e)%Z then inject_Z (2 ^ e) else (1 # Z.to_pos (2 ^ (- e)))%Q.

Lemma Q2R_pow e : Q2R (powQ e) = bpow radix2 e.
Proof.
  unfold powQ; case Z.leb_spec; intros H.
  - now rewrite Q2R_integer, <- IZR_Zpower.
  - unfold Q2R; simpl Qnum; simpl Qden; rewrite Z2Pos.id by (apply Z.pow_pos_nonneg; lia).
    rewrite Rmult_1_l, <- (Z.opp_involutive e) at 1; rewrite Z.opp_involutive.
    change 2%Z with (radix_val radix2); rewrite IZR_Zpower by lia.
    now rewrite <- bpow_opp, Z.opp_involutive.
Qed.

Global Hint Rewrite Q2R_0 Q2R_1 Q2R_half Q2R_integer Q2R_lite Q2R_min Q2R_max Q2R_abs Q2R_pow
  Q2R_plus Q2R_minus Q2R_mult Q2R_opp : q2r.

(** ** 2. Rounding *)

(** The exponent e with 2^(e-1) <= |q| < 2^e: from the digits of numerator and denominator up to
    one, which a comparison decides. *)
Definition magQ (q : Q) : Z :=
  let e := (Z.log2 (Z.abs (Qnum q)) - Z.log2 (Zpos (Qden q)))%Z in
  if Qle_bool (powQ e) (Qabs q) then (e + 1)%Z else e.

Lemma log2_bpow z : (0 < z)%Z ->
  bpow radix2 (Z.log2 z) <= IZR z < bpow radix2 (Z.log2 z + 1).
Proof.
  intros H; destruct (Z.log2_spec z H) as [L U]; pose proof (Z.log2_nonneg z).
  rewrite <- !IZR_Zpower by lia; split; [apply IZR_le | apply IZR_lt]; assumption.
Qed.

Lemma magQ_correct q : Q2R q <> 0 -> (magQ q = mag radix2 (Q2R q) :> Z).
Proof.
  intros Hq; symmetry; apply mag_unique; rewrite <- Q2R_abs.
  assert (Hn : (0 < Z.abs (Qnum q))%Z).
  { apply Z.abs_pos; intros H; apply Hq; unfold Q2R; rewrite H; ring. }
  destruct (log2_bpow _ Hn) as [Nl Nu], (log2_bpow (Zpos (Qden q)) eq_refl) as [Dl Du].
  unfold magQ; set (a := Z.log2 _) in *; set (b := Z.log2 (Zpos _)) in *.
  assert (D : 0 < IZR (Zpos (Qden q))) by now apply IZR_lt.
  assert (E : Q2R (Qabs q) = IZR (Z.abs (Qnum q)) / IZR (Zpos (Qden q))) by now destruct q.
  assert (L : bpow radix2 (a - b - 1) <= Q2R (Qabs q)).
  { rewrite E; apply Rmult_le_reg_r with (1 := D); unfold Rdiv.
    rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra; apply Rle_trans with (2 := Nl).
    replace a with ((a - b - 1) + (b + 1))%Z at 2 by ring; rewrite bpow_plus.
    apply Rmult_le_compat_l; [apply bpow_ge_0 | now apply Rlt_le]. }
  assert (U : Q2R (Qabs q) < bpow radix2 (a - b + 1)).
  { rewrite E; apply Rmult_lt_reg_r with (1 := D); unfold Rdiv.
    rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra; apply Rlt_le_trans with (1 := Nu).
    replace (a + 1)%Z with ((a - b + 1) + b)%Z by ring; rewrite bpow_plus.
    apply Rmult_le_compat_l; [apply bpow_ge_0 | assumption]. }
  rewrite <- Rle_bool_Q, Q2R_pow; case Rle_bool_spec; intros H; split; try assumption.
  replace (a - b + 1 - 1)%Z with (a - b)%Z by ring; assumption.
Qed.

(** Quotients by powers of two are shifts. *)
Definition quotient (a : Z) (b : positive) : Z :=
  let k := Z.log2 (Zpos b) in if (Zpos b =? 2 ^ k)%Z then Z.shiftr a k else (a / Zpos b)%Z.

Definition floorQ (q : Q) : Z := quotient (Qnum q) (Qden q).
Definition ceilQ (q : Q) : Z := (- floorQ (- q))%Z.
Definition nearestQ (q : Q) : Z :=
  let k := floorQ q in
  match (q - inject_Z k ?= 1 # 2)%Q with
  | Lt => k
  | Eq => if Z.even k then k else (k + 1)%Z
  | Gt => (k + 1)%Z
  end.

Lemma floorQ_correct q : floorQ q = Zfloor (Q2R q).
Proof.
  unfold Q2R; fold (IZR (Qnum q) / IZR (Zpos (Qden q))); rewrite Zfloor_div by easy.
  unfold floorQ, quotient; case Z.eqb_spec; intros H; [| easy].
  now rewrite Z.shiftr_div_pow2, <- H by apply Z.log2_nonneg.
Qed.

Lemma ceilQ_correct q : ceilQ q = Zceil (Q2R q).
Proof. unfold ceilQ, Zceil; now rewrite floorQ_correct, Q2R_opp. Qed.

Lemma nearestQ_correct q : nearestQ q = ZnearestE (Q2R q).
Proof.
  unfold nearestQ, Znearest; rewrite <- floorQ_correct; set (k := floorQ q).
  assert (C : (q - inject_Z k ?= 1 # 2)%Q = Rcompare (Q2R q - IZR k) (/ 2)).
  { rewrite <- Q2R_integer, <- Q2R_minus, <- Q2R_half; symmetry; apply Rcompare_Q. }
  rewrite C; case Rcompare_spec; intros H; [easy | |].
  all: assert (Zceil (Q2R q) = k + 1)%Z as ->
    by (unfold k; rewrite floorQ_correct; apply Zceil_floor_neq;
        rewrite <- floorQ_correct; fold k; lra).
  - now destruct (Z.even k).
  - easy.
Qed.

(** A rounding of significands to integers makes a rounding to the format. *)
Definition roundQ (to_integer : Q -> Z) (F : format) (q : Q) : Q :=
  if Qeq_bool q 0 then 0%Q
  else let e := fexp F (magQ q) in
       (inject_Z (to_integer (lite (q * powQ (- e)))) * powQ e)%Q.

Lemma roundQ_correct to_integer rnd F q : Valid_rnd rnd ->
  (forall x, to_integer x = rnd (Q2R x)) ->
  Q2R (roundQ to_integer F q) = round radix2 (fexp F) rnd (Q2R q).
Proof.
  intros V H; unfold roundQ; rewrite <- Req_bool_Q, Q2R_0; case Req_bool_spec; intros Hq.
  - rewrite Q2R_0, Hq; symmetry; now apply round_0.
  - unfold round, F2R, scaled_mantissa, cexp; simpl.
    rewrite H; autorewrite with q2r; now rewrite magQ_correct.
Qed.

Definition flQ : format -> Q -> Q := roundQ nearestQ.
Definition fl_upQ : format -> Q -> Q := roundQ ceilQ.
Definition fl_downQ : format -> Q -> Q := roundQ floorQ.

Theorem flQ_correct F q : Q2R (flQ F q) = fl F (Q2R q).
Proof. apply roundQ_correct; [apply valid_rnd_N | apply nearestQ_correct]. Qed.

Theorem fl_upQ_correct F q : Q2R (fl_upQ F q) = fl_up F (Q2R q).
Proof. apply roundQ_correct; [apply valid_rnd_UP | apply ceilQ_correct]. Qed.

Theorem fl_downQ_correct F q : Q2R (fl_downQ F q) = fl_down F (Q2R q).
Proof. apply roundQ_correct; [apply valid_rnd_DN | apply floorQ_correct]. Qed.

Definition OmegaQ (F : format) : Q :=
  (inject_Z (Fnum (largest F)) * powQ (Fexp (largest F)))%Q.
Definition unit_roundoffQ (F : format) : Q := powQ (- precision F).
Definition smallest_normalQ (F : format) : Q := powQ (quantum F + precision F - 1).
Definition etaQ (F : format) : Q := powQ (quantum F - 1).

Lemma OmegaQ_correct F : Q2R (OmegaQ F) = Omega F.
Proof. unfold OmegaQ, Omega, F2R; now autorewrite with q2r. Qed.

Global Hint Rewrite flQ_correct fl_upQ_correct fl_downQ_correct OmegaQ_correct : q2r.

Definition roundedQ (F : format) (q : Q) : option Q :=
  let y := flQ F q in if Qle_bool (Qabs y) (OmegaQ F) then Some y else None.

Theorem roundedQ_correct F q : option_map Q2R (roundedQ F q) = rounded F (Q2R q).
Proof.
  unfold roundedQ, rounded; rewrite <- Rle_bool_Q; autorewrite with q2r.
  case Rle_bool; simpl; now autorewrite with q2r.
Qed.

(** The two powers of two below a number: the unit in its first place, half the unit in its
    last. *)
Definition ufpQ (q : Q) : Q := if Qeq_bool q 0 then 0%Q else powQ (magQ q - 1).

Theorem ufpQ_correct q : Q2R (ufpQ q) = ufp (Q2R q).
Proof.
  unfold ufpQ, ufp; rewrite <- Req_bool_Q, Q2R_0; case Req_bool_spec; intros H.
  - apply Q2R_0.
  - now rewrite Q2R_pow, magQ_correct.
Qed.

Definition half_ulpQ (F : format) (q : Q) : Q :=
  powQ ((if Qeq_bool q 0 then quantum F else fexp F (magQ q)) - 1).

Theorem half_ulpQ_correct F q : well_formed F ->
  Q2R (half_ulpQ F q) = / 2 * ulp radix2 (fexp F) (Q2R q).
Proof.
  intros (p, _); unfold half_ulpQ; rewrite Q2R_pow, <- Req_bool_Q, Q2R_0.
  assert (half : forall e, bpow radix2 (e - 1) = / 2 * bpow radix2 e)
    by (intros e; unfold Zminus; rewrite bpow_plus; simpl; lra).
  case Req_bool_spec; intros H; rewrite half.
  - rewrite H; unfold fexp; rewrite ulp_FLT_0; [easy | unfold Prec_gt_0; lia].
  - rewrite ulp_neq_0 by assumption; unfold cexp; now rewrite magQ_correct.
Qed.

Global Hint Rewrite ufpQ_correct : q2r.

(** Membership: a number is its own rounding. *)
Definition numberQ (F : format) (q : Q) : bool := Qeq_bool (fl_downQ F q) q.

Lemma numberQ_correct F q : (1 < precision F)%Z -> numberQ F q = true -> number F (Q2R q).
Proof.
  intros p H; apply Qeq_bool_eq, Qeq_eqR in H; rewrite fl_downQ_correct in H.
  rewrite <- H; apply generic_format_round; [| apply valid_rnd_DN].
  apply FLT_exp_valid; unfold Prec_gt_0; lia.
Qed.

Definition well_formedQ (F : format) : bool :=
  (1 <? precision F)%Z && numberQ F (OmegaQ F) && Qle_bool (smallest_normalQ F) (OmegaQ F).

Lemma well_formedQ_correct F : well_formedQ F = true -> well_formed F.
Proof.
  unfold well_formedQ, well_formed; rewrite !andb_true_iff, Z.ltb_lt, Qle_bool_R.
  unfold smallest_normalQ; rewrite Q2R_pow, OmegaQ_correct; intros ((p & N) & L).
  rewrite <- OmegaQ_correct at 1; now repeat split; try apply numberQ_correct.
Qed.
