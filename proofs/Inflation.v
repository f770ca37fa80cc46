(** * Inflation: outward rounding of bounds computed to nearest.

    - [inflate_sound], [inflate_upward]: a quantity >= 0 that k roundings may have made too small
      is an upper bound once multiplied by a factor 1 + 2 k u; with 8 more than k in the factor,
      forming it and multiplying by it in the format is paid for, unless the quantity underflows.
    - [gamma_upward]: the code's [gamma] is at least n u / (1 - n u).
    - [up_bound], [down_bound]: the next number above (below) a rounded value bounds what was
      rounded.

    Depends on: [Statement.v], [Format.v]; Flocq. *)

From Coq Require Import Reals ZArith Lra Lia.
From Flocq Require Import Core.
From Errbound Require Import Statement Format.
Open Scope R_scope.

(** ** 1. The factor *)

(** (1 - u)^n >= 1 - n u (Bernoulli). *)
Lemma bernoulli u n : 0 <= u <= 1 -> 1 - INR n * u <= (1 - u) ^ n.
Proof.
  intros U; induction n as [| n IH]; [simpl; lra |].
  rewrite S_INR, <- tech_pow_Rmult; pose proof (pos_INR n); nra.
Qed.

(** A quantity that k roundings of relative error u may have made too small, times 1 + 2 k u, is not
    too small: (1 - k u)(1 + 2 k u) = 1 + k u (1 - 2 k u). *)
Lemma inflate_relative u k exact computed : 0 <= u <= 1 -> INR k * u <= / 2 -> 0 <= exact ->
  exact * (1 - u) ^ k <= computed -> exact <= computed * (1 + 2 * INR k * u).
Proof.
  intros U K E C; pose proof (bernoulli u k U); pose proof (pos_INR k).
  set (e := INR k * u) in *; assert (0 <= e) by (unfold e; nra).
  replace (1 + 2 * INR k * u) with (1 + 2 * e) by (unfold e; ring).
  assert (exact * (1 - e) <= computed) by nra.
  apply Rle_trans with (exact * (1 - e) * (1 + 2 * e)); [| apply Rmult_le_compat_r; lra].
  replace (exact * (1 - e) * (1 + 2 * e)) with (exact + exact * (e * (1 - 2 * e))) by ring.
  assert (0 <= exact * (e * (1 - 2 * e))) by (repeat apply Rmult_le_pos; lra).
  lra.
Qed.

(** For binary64. *)
Theorem inflate_sound k exact computed : INR k <= bpow radix2 50 -> 0 <= exact ->
  exact * (1 - bpow radix2 (-53)) ^ k <= computed ->
  exact <= computed * (1 + 2 * INR k * bpow radix2 (-53)).
Proof.
  intros K; apply inflate_relative; [simpl; lra |].
  simpl in *; lra.
Qed.

(** The code's factor, as it is formed in a format F with unit roundoff u: 8 more than k. *)
Definition inflate (F : format) (k : nat) : R :=
  fl F (1 + INR (k + 8) * (2 * unit_roundoff F)).

(** It is formed exactly: a multiple of 2 u below 2. *)
Lemma inflate_exact F k : well_formed F -> (quantum F <= 1 - precision F)%Z ->
  INR (k + 8) * unit_roundoff F <= / 4 ->
  inflate F k = 1 + INR (k + 8) * (2 * unit_roundoff F).
Proof.
  intros W Q K; apply fl_id; [easy |]; pose proof (precision_positive F W) as P.
  unfold Prec_gt_0 in P; unfold unit_roundoff in *.
  set (p := precision F) in *; rewrite INR_IZR_INZ in *; set (n := Z.of_nat (k + 8)) in *.
  assert (Hu : 2 * bpow radix2 (- p) = bpow radix2 (1 - p))
    by (rewrite <- (bpow_plus_1 radix2); f_equal; lia).
  assert (H1 : 1 = IZR (2 ^ (p - 1)) * bpow radix2 (1 - p)).
  { rewrite (IZR_Zpower radix2), <- bpow_plus by lia.
    now replace (p - 1 + (1 - p))%Z with 0%Z by lia. }
  apply generic_format_FLT; exists (Float radix2 (2 ^ (p - 1) + n) (1 - p)).
  - rewrite Hu; unfold F2R; cbn [Fnum Fexp]; rewrite plus_IZR; lra.
  - simpl; fold p; apply lt_IZR; rewrite abs_IZR, plus_IZR, !(IZR_Zpower radix2) by lia.
    assert (0 <= IZR n) by (apply IZR_le; lia).
    assert (bpow radix2 p = 2 * bpow radix2 (p - 1))
      by (rewrite <- (bpow_plus_1 radix2); f_equal; lia).
    pose proof (bpow_gt_0 radix2 (p - 1)); rewrite Rabs_pos_eq by lra.
    apply (Rmult_le_compat_r (bpow radix2 (p - 1))) in K; [| lra].
    rewrite Rmult_assoc, <- bpow_plus in K.
    replace (- p + (p - 1))%Z with (-1)%Z in K by lia.
    change (bpow radix2 (-1)) with (/ 2) in K; lra.
  - exact Q.
Qed.

(** A normal result is at most once u too small. *)
Lemma fl_lower F z : well_formed F -> smallest_normal F <= z -> z * (1 - unit_roundoff F) <= fl F z.
Proof.
  intros W N; assert (P : 0 < smallest_normal F) by apply bpow_gt_0.
  assert (U : 0 <= unit_roundoff F) by apply bpow_ge_0.
  assert (M : smallest_normal F <= Rabs z) by (rewrite Rabs_pos_eq; lra).
  pose proof (fl_error_normal F z W M) as A; apply Rabs_le_inv in A.
  pose proof (ufp_le z) as B; rewrite Rabs_pos_eq in B by lra; nra.
Qed.

(** Multiplied by it in the format, a normal quantity that k roundings may have made too small is an
    upper bound; the roundings to spare pay for the multiplication. *)
Theorem inflate_upward F k exact computed : well_formed F ->
  (quantum F <= 1 - precision F)%Z -> INR (k + 8) * unit_roundoff F <= / 4 ->
  0 <= exact -> exact * (1 - unit_roundoff F) ^ k <= computed -> smallest_normal F <= computed ->
  exact <= fl F (computed * inflate F k).
Proof.
  intros W Q K E C N; rewrite inflate_exact by easy.
  set (u := unit_roundoff F) in *; set (f := 1 + INR (k + 8) * (2 * u)).
  assert (U : 0 <= u <= 1).
  { split; [apply bpow_ge_0 |]; apply (bpow_le radix2 _ 0); pose proof (proj1 W); lia. }
  rewrite plus_INR in *; simpl (INR 8) in *; pose proof (pos_INR k).
  assert (P : 0 < smallest_normal F) by apply bpow_gt_0.
  assert (Hf : 1 <= f) by (unfold f; rewrite plus_INR; simpl (INR 8); nra).
  assert (L : computed * f * (1 - u) <= fl F (computed * f)) by (apply fl_lower; [easy | nra]).
  apply Rle_trans with (2 := L).
  apply Rle_trans with (computed * (1 - u) * (1 + 2 * INR (S k) * u)).
  - apply inflate_relative; [easy | rewrite S_INR; nra | easy |].
    rewrite <- tech_pow_Rmult; nra.
  - replace (computed * f * (1 - u)) with (computed * (1 - u) * f) by ring.
    apply Rmult_le_compat_l; [nra |].
    unfold f; rewrite S_INR, plus_INR; simpl (INR 8); nra.
Qed.

(** ** 2. The constant of a sum *)

(** The code's [gamma]: t = n 2^-53 is exact, t (1 + 4 t) is enough and has two roundings. *)
Theorem gamma_upward n : (1 <= n)%nat -> INR n <= bpow radix2 50 ->
  let t := INR n * bpow radix2 (-53) in
  t / (1 - t) <=
    fl binary64 (fl binary64 (t * fl binary64 (1 + 4 * t)) * inflate binary64 2).
Proof.
  intros N L t; apply le_INR in N; simpl in N.
  set (u := unit_roundoff binary64); assert (U : u = bpow radix2 (-53)) by easy.
  assert (Hu : 0 < u <= / 1000) by (rewrite U; simpl; lra).
  assert (T : u <= t <= / 8).
  { unfold t; rewrite U; split; [pose proof (bpow_gt_0 radix2 (-53)); nra |].
    apply Rle_trans with (bpow radix2 50 * bpow radix2 (-53)); [| simpl; lra].
    apply Rmult_le_compat_r; [apply bpow_ge_0 | easy]. }
  assert (Small : smallest_normal binary64 <= u / 4).
  { rewrite U; replace (bpow radix2 (-53) / 4) with (bpow radix2 (-55)) by (simpl; lra).
    apply bpow_le; simpl; lia. }
  pose proof (fl_lower binary64 (1 + 4 * t) binary64_well_formed ltac:(lra)) as A; fold u in A.
  set (a := fl binary64 (1 + 4 * t)) in *.
  assert (Ha : / 2 <= a) by nra.
  pose proof (fl_lower binary64 (t * a) binary64_well_formed ltac:(nra)) as B; fold u in B.
  set (b := fl binary64 (t * a)) in *.
  apply inflate_upward; [apply binary64_well_formed | easy | fold u ..].
  - rewrite U; simpl; lra.
  - apply Rmult_le_pos; [lra | apply Rlt_le, Rinv_0_lt_compat; lra].
  - assert (t / (1 - t) <= t * (1 + 4 * t)).
    { apply Rmult_le_reg_r with (1 - t); [lra |].
      unfold Rdiv; rewrite Rmult_assoc, Rinv_l by lra; nra. }
    apply Rle_trans with (t * (1 + 4 * t) * (1 - u) ^ 2); [apply Rmult_le_compat_r; nra |].
    apply Rle_trans with (2 := B).
    replace (t * (1 + 4 * t) * (1 - u) ^ 2) with (t * ((1 + 4 * t) * (1 - u)) * (1 - u)) by ring.
    apply Rmult_le_compat_r; [lra |]; apply Rmult_le_compat_l; lra.
  - assert (u * / 2 <= t * a) by (apply Rmult_le_compat; lra); nra.
Qed.

(** ** 3. The next number *)

(** The rounded value and the value lie between the same consecutive numbers. *)
Theorem up_bound F x : well_formed F -> x <= succ radix2 (fexp F) (fl F x).
Proof. intros W; apply succ_round_ge_id; [now apply fexp_valid | apply valid_rnd_N]. Qed.

Theorem down_bound F x : well_formed F -> pred radix2 (fexp F) (fl F x) <= x.
Proof. intros W; apply pred_round_le_id; [now apply fexp_valid | apply valid_rnd_N]. Qed.
