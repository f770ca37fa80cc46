(** * Rounding: what rounding.py computes in binary64.

    A number of a format F near a real x is an integer times the spacing of F at x ([fl_spacing]),
    so that rounding to F is rounding to an integer, which adding a large constant s in binary64
    and subtracting it does.

    - [magic_rounding_correct], [magic_rounding_in_range]: fl64(fl64(x + s) - s) = fl_F(x), with
      s = 1.5 * 2^52 times the spacing, for every format of at most 50 bits whose exponents
      binary64 has, and every real x; no operation leaves the range if |x| < 2^970.
      [nearest_correct] lists the formats ([nearest_] in the code).
    - [overflow_threshold]: where a result is out of range, the midpoint included.
    - [ulp_formula], [spacing_ulp]: the code's [ulp] is Flocq's.
    - [round_odd_then_nearest]: rounding to odd first is harmless; [double_rounding_differs]: to
      nearest first is not (torch's [.half()] of a binary64 tensor rounds twice).

    Depends on: [Statement.v], [Format.v]; Flocq ([Prop.Round_odd]). *)

From Coq Require Import Reals List ZArith Lra Lia.
From Flocq Require Import Core.
Require Import Flocq.Prop.Round_odd.
From Errbound Require Import Statement Format.
Import ListNotations.
Open Scope R_scope.

(** ** 1. Integers to nearest even *)

(** A shift by an even integer commutes with rounding to the nearest integer, ties to even. *)
Lemma nearest_even_shift n y : Z.even n = true -> ZnearestE (IZR n + y) = (n + ZnearestE y)%Z.
Proof.
  intros E; unfold Znearest; rewrite Zfloor_plus, Zceil_plus, plus_IZR, Z.even_add, E.
  replace (IZR n + y - (IZR n + IZR (Zfloor y))) with (y - IZR (Zfloor y)) by ring.
  now destruct Rcompare, (Z.even (Zfloor y)).
Qed.

(** A tie goes to the even neighbour. *)
Lemma nearest_even_tie m : ZnearestE (IZR m + / 2) = if Z.even m then m else (m + 1)%Z.
Proof.
  unfold Znearest; rewrite Zfloor_plus, Zceil_plus.
  rewrite (Zfloor_imp 0), (Zceil_imp 1), Z.add_0_r by (simpl; lra).
  rewrite Rcompare_Eq by lra; now destruct Z.even.
Qed.

(** ** 2. The distance of consecutive numbers *)

(** As rounding.py computes it: the power of two in the bits of x, clamped to the smallest normal
    number, times 2^(1 - p). (The power of a subnormal binary64 x is 0 there: clamped as well.) *)
Definition spacing (F : format) (x : R) : R :=
  Rmax (ufp x) (smallest_normal F) * bpow radix2 (1 - precision F).

(** It is Flocq's ulp. *)
Lemma spacing_ulp F x : (0 < precision F)%Z -> spacing F x = ulp radix2 (fexp F) x.
Proof.
  intros P; unfold spacing, smallest_normal; destruct (Req_dec x 0) as [-> | N].
  - rewrite ufp_0, Rmax_right, <- bpow_plus by apply bpow_ge_0.
    unfold fexp; rewrite ulp_FLT_0 by easy; f_equal; lia.
  - rewrite ufp_bpow, ulp_neq_0 by easy; unfold cexp, fexp, FLT_exp.
    destruct (Z.le_ge_cases (mag radix2 x) (quantum F + precision F)).
    + rewrite Rmax_right, <- bpow_plus by (apply bpow_le; lia); f_equal; lia.
    + rewrite Rmax_left, <- bpow_plus by (apply bpow_le; lia); f_equal; lia.
Qed.

(** In the binade of 2^e it is 2^(max(e, emin) - p + 1), where 2^emin is the smallest normal ... *)
Theorem ulp_formula F x e : bpow radix2 e <= Rabs x < bpow radix2 (e + 1) ->
  ulp radix2 (fexp F) x =
    bpow radix2 (Z.max e (quantum F + precision F - 1) - precision F + 1).
Proof.
  intros B; pose proof (bpow_gt_0 radix2 e).
  rewrite ulp_neq_0 by (intros ->; rewrite Rabs_R0 in B; lra).
  unfold cexp; rewrite (mag_unique radix2 x (e + 1)) by (now replace (e + 1 - 1)%Z with e by lia).
  unfold fexp, FLT_exp; f_equal; lia.
Qed.

(** ... and 2^q, the smallest positive number, at zero. *)
Theorem ulp_formula_0 F : (0 < precision F)%Z -> ulp radix2 (fexp F) 0 = bpow radix2 (quantum F).
Proof. apply ulp_FLT_0. Qed.

Lemma spacing_binade F x e : (0 < precision F)%Z -> bpow radix2 e <= Rabs x < bpow radix2 (e + 1) ->
  spacing F x = bpow radix2 (Z.max e (quantum F + precision F - 1) - precision F + 1).
Proof. intros P B; rewrite spacing_ulp by easy; now apply ulp_formula. Qed.

(** Every x <> 0 lies in a binade. *)
Lemma binade x : x <> 0 -> exists e, bpow radix2 e <= Rabs x < bpow radix2 (e + 1).
Proof.
  intros N; exists (mag radix2 x - 1)%Z; split; [now apply bpow_mag_le |].
  replace (mag radix2 x - 1 + 1)%Z with (mag radix2 x : Z) by lia; apply bpow_mag_gt.
Qed.

(** Rounding is rounding to an integer at that scale. *)
Lemma fl_spacing F x : (0 < precision F)%Z ->
  fl F x = IZR (ZnearestE (x / spacing F x)) * spacing F x.
Proof.
  intros P; destruct (Req_dec x 0) as [-> | N].
  - rewrite fl_0; unfold Rdiv; rewrite Rmult_0_l, (Znearest_imp _ _ 0); [ring |].
    rewrite Rminus_0_r, Rabs_R0; lra.
  - rewrite spacing_ulp, ulp_neq_0 by easy; unfold Rdiv; now rewrite <- bpow_opp.
Qed.

(** The spacing is a power of two, 2^g; x has at most p bits above it; below 2^c, so is g. *)
Lemma spacing_power F x c : (1 < precision F)%Z -> (quantum F <= c)%Z -> Rabs x < bpow radix2 c ->
  exists g, (quantum F <= g <= c)%Z /\ spacing F x = bpow radix2 g /\
    Rabs x < bpow radix2 (g + precision F).
Proof.
  intros P Q L; destruct (Req_dec x 0) as [-> | N].
  - exists (quantum F); rewrite spacing_ulp, ulp_formula_0, Rabs_R0 by lia.
    repeat split; try easy; apply bpow_gt_0.
  - destruct (binade x N) as [e B]; eexists; rewrite (spacing_binade F x e) by (easy || lia).
    assert (e < c)%Z by (apply (lt_bpow radix2); lra).
    repeat split; [lia | lia |].
    apply Rlt_le_trans with (1 := proj2 B), bpow_le; lia.
Qed.

(** ** 3. The format's own rounding, by one addition and one subtraction in binary64 *)

(** The code's s: 1.5 * 2^(53 - p) times the clamped power of two. *)
Definition magic (F : format) (x : R) : R :=
  1.5 * bpow radix2 (53 - precision F) * Rmax (ufp x) (smallest_normal F).

Lemma magic_spacing F x : magic F x = IZR (3 * 2 ^ 51) * spacing F x.
Proof.
  unfold magic, spacing; replace (53 - precision F)%Z with (52 + (1 - precision F))%Z by lia.
  rewrite bpow_plus; replace (bpow radix2 52) with (IZR (2 ^ 52)) by reflexivity.
  change (2 ^ 52)%Z with (2 * 2 ^ 51)%Z; rewrite !mult_IZR; lra.
Qed.

(** What the constant needs of a format: 2 to 50 bits, exponents that binary64 has. *)
Definition narrow (F : format) : Prop :=
  (1 < precision F <= 50)%Z /\ (-1074 <= quantum F <= 900)%Z.

(** x + s lies in the binade of s, [2^(g + 52), 2^(g + 53)), where 2^g is the spacing of F at x. *)
Lemma magic_binade F x g : narrow F -> spacing F x = bpow radix2 g ->
  Rabs x < bpow radix2 (g + precision F) ->
  bpow radix2 (g + 52) <= x + magic F x < bpow radix2 (g + 53).
Proof.
  intros [P _] Hg L; rewrite magic_spacing, Hg.
  assert (L' : Rabs x < bpow radix2 (50 + g))
    by (apply Rlt_le_trans with (1 := L), bpow_le; lia).
  rewrite (Zplus_comm g 52), (Zplus_comm g 53), !bpow_plus in *.
  change (bpow radix2 50) with (IZR (2 ^ 50)) in L'.
  change (bpow radix2 52) with (IZR (2 ^ 52)); change (bpow radix2 53) with (IZR (2 ^ 53)).
  simpl Z.pow in *; simpl Z.mul.
  apply Rabs_def2 in L'; pose proof (bpow_gt_0 radix2 g); lra.
Qed.

(** The first operation rounds x to the spacing of F, ties to even since s is an even multiple. *)
Lemma magic_sum F x : narrow F -> fl binary64 (x + magic F x) = fl F x + magic F x.
Proof.
  intros Nf; pose proof Nf as [P Q].
  destruct (spacing_power F x (Z.max (quantum F) (mag radix2 x)))
    as (g & Hq & Hg & L); [lia | lia | |].
  { apply Rlt_le_trans with (1 := bpow_mag_gt radix2 x), bpow_le; lia. }
  pose proof (magic_binade F x g Nf Hg L) as B.
  pose proof (bpow_gt_0 radix2 (g + 52)); pose proof (bpow_gt_0 radix2 g).
  assert (S : spacing binary64 (x + magic F x) = bpow radix2 g).
  { rewrite (spacing_binade _ _ (g + 52)); [| easy |].
    - simpl; f_equal; lia.
    - rewrite Rabs_pos_eq by lra; now replace (g + 52 + 1)%Z with (g + 53)%Z by lia. }
  rewrite (fl_spacing binary64), S, (fl_spacing F), magic_spacing, Hg by (easy || lia).
  replace ((x + IZR (3 * 2 ^ 51) * bpow radix2 g) / bpow radix2 g)
    with (IZR (3 * 2 ^ 51) + x / bpow radix2 g) by (field; lra).
  rewrite nearest_even_shift, plus_IZR by easy; ring.
Qed.

(** Numbers of a narrow format are numbers of binary64. *)
Lemma narrow_number F x : narrow F -> number F x -> number binary64 x.
Proof.
  intros [P Q]; apply generic_inclusion_mag; intros _; unfold fexp, FLT_exp; simpl; lia.
Qed.

Lemma narrow_fl F x : narrow F -> number F (fl F x).
Proof.
  intros [P _]; apply generic_format_round; [| apply valid_rnd_N].
  apply FLT_exp_valid; unfold Prec_gt_0; lia.
Qed.

(** The second operation is exact, so that both together are the rounding of F: for every real x,
    zero and values below the normal range of F included. *)
Theorem magic_rounding_correct F x : narrow F ->
  fl binary64 (fl binary64 (x + magic F x) - magic F x) = fl F x.
Proof.
  intros Nf; rewrite magic_sum by easy.
  replace (fl F x + magic F x - magic F x) with (fl F x) by ring.
  apply fl_id; [apply binary64_well_formed |].
  now apply (narrow_number F), narrow_fl.
Qed.

(** No operation leaves the range of binary64, and s is one of its numbers. *)
Theorem magic_rounding_in_range F x : narrow F -> Rabs x < bpow radix2 970 ->
  let s := magic F x in
  rounded binary64 s = Some s /\
  exists a, rounded binary64 (x + s) = Some a /\ rounded binary64 (a - s) = Some (fl F x).
Proof.
  intros Nf R s; pose proof Nf as [P Q]; pose proof binary64_well_formed as W.
  destruct (spacing_power F x 970) as (g & Hq & Hg & L); [lia | lia | easy |].
  assert (B := magic_binade F x g Nf Hg L); fold s in B.
  assert (Below : forall y, Rabs y <= bpow radix2 (g + 53) -> Rabs y <= Omega binary64).
  { intros y Hy; apply Rle_trans with (1 := Hy).
    apply Rle_trans with (IZR (2 ^ 52) * bpow radix2 971).
    - change (IZR (2 ^ 52)) with (bpow radix2 52); rewrite <- bpow_plus; apply bpow_le; lia.
    - apply Rmult_le_compat_r; [apply bpow_ge_0 | now apply IZR_le]. }
  assert (Hs : s = IZR (3 * 2 ^ 51) * bpow radix2 g)
    by (unfold s; rewrite magic_spacing; now rewrite Hg).
  assert (0 < bpow radix2 (g + 52)) by apply bpow_gt_0.
  split; [| exists (fl binary64 (x + s)); split].
  - rewrite rounded_some; [f_equal; apply fl_id; [easy |] | easy | apply Below].
    + apply generic_format_FLT; exists (Float radix2 (3 * 2 ^ 51) g); [easy.. |].
      simpl; lia.
    + rewrite Hs, Zplus_comm, bpow_plus, Rabs_mult, (Rabs_pos_eq (bpow _ _)) by apply bpow_ge_0.
      apply Rmult_le_compat_r; [apply bpow_ge_0 |].
      rewrite <- abs_IZR; now apply IZR_le.
  - apply rounded_some; [easy | apply Below; rewrite Rabs_pos_eq; lra].
  - unfold s; rewrite magic_sum by easy.
    replace (fl F x + magic F x - magic F x) with (fl F x) by ring.
    rewrite rounded_some; [f_equal; apply fl_id | easy | apply Below]; [easy | |].
    + now apply (narrow_number F), narrow_fl.
    + apply Rle_trans with (bpow radix2 (g + precision F)); [| apply bpow_le; lia].
      apply abs_round_le_generic; [| apply valid_rnd_N | | lra].
      * apply FLT_exp_valid; unfold Prec_gt_0; lia.
      * apply generic_format_FLT_bpow; unfold Prec_gt_0; lia.
Qed.

Lemma formats_narrow : Forall narrow [binary16; bfloat16; tf32; e4m3; e5m2].
Proof. repeat constructor; simpl; lia. Qed.

(** Every overflow threshold is below 2^970, so that the code rounds correctly. *)
Corollary nearest_correct :
  Forall (fun F => forall x, Rabs x < bpow radix2 970 ->
      let s := magic F x in
      exists a, rounded binary64 (x + s) = Some a /\ rounded binary64 (a - s) = Some (fl F x))
    [binary16; bfloat16; tf32; e4m3; e5m2].
Proof.
  apply Forall_impl with (2 := formats_narrow); intros F Nf x L.
  now apply magic_rounding_in_range.
Qed.

(** ** 4. The overflow threshold *)

(** A result is out of range from Omega + ulp / 2 on; that midpoint itself ties to the even
    neighbour, beyond Omega if Omega is odd (IEEE formats), Omega if it is even (E4M3). *)
Theorem overflow_threshold p q m k x :
  (1 < p)%Z -> (q <= k)%Z -> (2 ^ (p - 1) <= m < 2 ^ p)%Z ->
  let F := Format p q (Float radix2 m k) in
  let middle := Omega F + bpow radix2 (k - 1) in
  rounded F x = None <-> if Z.even m then middle < Rabs x else middle <= Rabs x.
Proof.
  intros P Q M F middle; pose proof (well_formed_intro p q m k P Q M : well_formed F) as W.
  pose proof (fexp_valid F W) as V; pose proof (bpow_gt_0 radix2 k) as K.
  assert (Hm : middle = (IZR m + / 2) * bpow radix2 k).
  { unfold middle, Omega, F2R; simpl; unfold Zminus; rewrite bpow_plus; simpl; lra. }
  assert (B : forall y, IZR m * bpow radix2 k <= y <= middle -> spacing F y = bpow radix2 k).
  { intros y Hy; assert (0 < bpow radix2 (p - 1)) by apply bpow_gt_0.
    assert (L : bpow radix2 (p - 1) <= IZR m) by (rewrite <- IZR_Zpower by lia; now apply IZR_le).
    assert (U : IZR m + 1 <= bpow radix2 p)
      by (rewrite <- IZR_Zpower, <- plus_IZR by lia; apply IZR_le; simpl; lia).
    rewrite (spacing_binade F y (k + p - 1)); [simpl; f_equal; lia | simpl; lia |].
    replace (k + p - 1 + 1)%Z with (p + k)%Z by lia.
    replace (k + p - 1)%Z with (p - 1 + k)%Z by lia.
    rewrite !bpow_plus, Rabs_pos_eq by nra; nra. }
  assert (T : fl F middle = IZR (if Z.even m then m else m + 1) * bpow radix2 k).
  { rewrite fl_spacing, B by (simpl; lia || nra).
    rewrite Hm; replace ((IZR m + / 2) * bpow radix2 k / bpow radix2 k) with (IZR m + / 2)
      by (field; lra).
    now rewrite nearest_even_tie. }
  assert (O : Omega F = IZR m * bpow radix2 k) by easy.
  assert (Succ : succ radix2 (fexp F) (Omega F) = Omega F + bpow radix2 k).
  { rewrite succ_eq_pos, <- spacing_ulp, B; [easy | nra | simpl; lia |].
    apply F2R_ge_0; simpl; nia. }
  assert (D : rounded F x = None <-> Omega F < fl F (Rabs x)).
  { unfold rounded, fl; rewrite round_NE_abs by easy; set (z := Rabs (round _ _ _ x)).
    destruct (Rle_bool_spec z (Omega F)); split; easy || lra. }
  rewrite D; clear D; generalize (Rabs x) as y; intros y.
  destruct (Rtotal_order y middle) as [L | [-> | L]].
  - assert (fl F y <= Omega F)
      by (apply round_N_le_midp; [easy | apply W | rewrite Succ; nra]).
    destruct (Z.even m); split; lra.
  - rewrite T, O; destruct (Z.even m); rewrite ?plus_IZR; split; nra.
  - assert (succ radix2 (fexp F) (Omega F) <= fl F y).
    { apply round_N_ge_midp; [easy | apply generic_format_succ; [easy | apply W] |].
      rewrite pred_succ, Succ by (easy || apply W); nra. }
    destruct (Z.even m); split; lra.
Qed.

(** For example, 65504 + 16 is out of the range of binary16, 448 + 16 is not out of that of E4M3. *)
Corollary overflow_binary16 x : rounded binary16 x = None <-> 65520 <= Rabs x.
Proof.
  replace 65520 with (Omega binary16 + bpow radix2 (5 - 1)) by (unfold Omega, F2R; simpl; lra).
  now apply (overflow_threshold 11 (-24) 2047 5).
Qed.

Corollary overflow_e4m3 x : rounded e4m3 x = None <-> 464 < Rabs x.
Proof.
  replace 464 with (Omega e4m3 + bpow radix2 (5 - 1)) by (unfold Omega, F2R; simpl; lra).
  now apply (overflow_threshold 4 (-9) 14 5).
Qed.

(** ** 5. Rounding twice *)

(** To odd in a format with two more bits and two smaller exponents, then to nearest: correct. The
    first rounding keeps on which side of a tie x lies, in its last bit. *)
Theorem round_odd_then_nearest F G x : well_formed F -> well_formed G ->
  (precision F + 2 <= precision G)%Z -> (quantum G + 2 <= quantum F)%Z ->
  fl F (round radix2 (fexp G) Zrnd_odd x) = fl F x.
Proof.
  intros WF WG P Q; pose proof (fexp_valid F WF); pose proof (fexp_valid G WG).
  apply round_N_odd; try easy.
  - apply exists_NE_FLT; right; apply WF.
  - apply exists_NE_FLT; right; apply WG.
  - intros e; unfold fexp, FLT_exp; lia.
Qed.

(** So a fused operation may be emulated in binary64, its sum rounded to odd. *)
Corollary round_odd_binary64 :
  Forall (fun F => forall x, fl F (round radix2 (fexp binary64) Zrnd_odd x) = fl F x)
    [binary16; bfloat16; binary32].
Proof.
  repeat constructor; intros x; apply round_odd_then_nearest;
    (now apply well_formed_intro) || (simpl; lia).
Qed.

(** To nearest in binary32, then to nearest in binary16 is not: 1 + 2^-11 + 2^-30, a number of
    binary64, becomes the tie 1 + 2^-11, then 1; the nearest number is 1 + 2^-10. *)
Theorem double_rounding_differs :
  let x := 1 + bpow radix2 (-11) + bpow radix2 (-30) in
  number binary64 x /\ fl binary16 (fl binary32 x) = 1 /\ fl binary16 x = 1 + bpow radix2 (-10).
Proof.
  intros x.
  assert (S : forall F y, (0 < precision F)%Z ->
    (quantum F + precision F <= 1)%Z -> 1 <= y < 2 ->
    spacing F y = bpow radix2 (1 - precision F)).
  { intros F y P L By; rewrite (spacing_binade F y 0); [f_equal; lia | easy |].
    rewrite Rabs_pos_eq by lra; simpl; lra. }
  assert (Bx : 1 <= x < 2) by (unfold x; simpl; lra).
  split; [| split].
  - apply generic_format_FLT; exists (Float radix2 (2 ^ 30 + 2 ^ 19 + 1) (-30)); try easy.
    unfold x, F2R; simpl; lra.
  - replace (fl binary32 x) with (1 + bpow radix2 (-11)).
    + rewrite fl_spacing, S by (simpl; lia || lra); simpl precision.
      replace (_ / _) with (IZR 1024 + / 2) by (simpl; lra).
      rewrite nearest_even_tie; simpl; lra.
    + rewrite fl_spacing, S by (simpl; lia || lra); simpl precision.
      rewrite (Znearest_imp _ _ (2 ^ 23 + 2 ^ 12)); [simpl; lra |].
      apply Rabs_lt; unfold x; simpl; lra.
  - rewrite fl_spacing, S by (simpl; lia || lra); simpl precision.
    rewrite (Znearest_imp _ _ (2 ^ 10 + 1)); [simpl; lra |].
    apply Rabs_lt; unfold x; simpl; lra.
Qed.
