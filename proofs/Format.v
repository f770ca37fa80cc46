(** * Formats: what every rounding does, in the terms of the analysis.

    A format is a set of numbers m 2^e with |m| < 2^p and e >= q, its range aside; [fl] rounds to
    nearest, ties to even, [fl_up] and [fl_down] outward. This file translates Flocq's theorems on
    generic formats into the words of [Statement.v]:

    - rounding is monotone, odd, the identity on numbers, and enclosed by [fl_down] and [fl_up];
    - it errs by at most u ufp(x) + eta, and eta is not needed where x is normal or a multiple of
      the smallest positive number 2^q ([fl_multiple_error]): sums of numbers are such multiples,
      and products are if the exponent range of the accumulator holds them;
    - a product of two storage numbers is exact if its bits fit;
    - a result between two results in range is in range;
    - the formats of format.py are well formed.

    Depends on: [Statement.v]; Flocq ([Core]: FLT, FLX, FIX, Ulp). *)

From Coq Require Import Reals ZArith Lra Lia.
From Flocq Require Import Core Calc.Operations.
From Errbound Require Import Statement.
Open Scope R_scope.

(** ** 1. Numbers and rounding maps *)

(** Flocq's side conditions: the precision is positive, and [fexp] is an exponent function. *)
Lemma precision_positive F : well_formed F -> Prec_gt_0 (precision F).
Proof. intros [H _]; unfold Prec_gt_0; lia. Qed.

Lemma fexp_valid F : well_formed F -> Valid_exp (fexp F).
Proof. intros W; apply FLT_exp_valid, precision_positive, W. Qed.

(** Zero is a number, and numbers come in pairs. *)
Lemma number_0 F : number F 0.
Proof. apply generic_format_0. Qed.

Lemma number_opp F x : number F x -> number F (- x).
Proof. apply generic_format_opp. Qed.

(** A rounded value is a number. *)
Lemma fl_number F x : well_formed F -> number F (fl F x).
Proof. intros W; apply generic_format_round; [now apply fexp_valid | apply valid_rnd_N]. Qed.

Lemma fl_up_number F x : well_formed F -> number F (fl_up F x).
Proof. intros W; apply generic_format_round; [now apply fexp_valid | apply valid_rnd_UP]. Qed.

Lemma fl_down_number F x : well_formed F -> number F (fl_down F x).
Proof. intros W; apply generic_format_round; [now apply fexp_valid | apply valid_rnd_DN]. Qed.

(** Numbers are left alone. *)
Lemma fl_id F x : well_formed F -> number F x -> fl F x = x.
Proof. intros _; apply round_generic, valid_rnd_N. Qed.

Lemma fl_0 F : fl F 0 = 0.
Proof. apply round_0, valid_rnd_N. Qed.

(** Ties to even do not depend on the sign. *)
Lemma fl_opp F x : fl F (- x) = - fl F x.
Proof. apply round_NE_opp. Qed.

(** Rounding is a nondecreasing staircase. *)
Lemma fl_monotone F x y : well_formed F -> x <= y -> fl F x <= fl F y.
Proof. intros W; apply round_le; [now apply fexp_valid | apply valid_rnd_N]. Qed.

(** [fl_up] is the least number above, [fl_down] the greatest below. *)
Lemma fl_up_le F x y : well_formed F -> number F y -> x <= y -> fl_up F x <= y.
Proof. intros W; apply round_le_generic; [now apply fexp_valid | apply valid_rnd_UP]. Qed.

Lemma fl_down_ge F x y : well_formed F -> number F y -> y <= x -> y <= fl_down F x.
Proof. intros W; apply round_ge_generic; [now apply fexp_valid | apply valid_rnd_DN]. Qed.

Lemma fl_up_ge F x : well_formed F -> x <= fl_up F x.
Proof. intros W; apply round_UP_pt, fexp_valid, W. Qed.

Lemma fl_down_le F x : well_formed F -> fl_down F x <= x.
Proof. intros W; apply round_DN_pt, fexp_valid, W. Qed.

(** ** 2. Unit in the first place *)

Lemma ufp_0 : ufp 0 = 0.
Proof. unfold ufp; now rewrite Req_bool_true. Qed.

Lemma ufp_bpow x : x <> 0 -> ufp x = bpow radix2 (mag radix2 x - 1).
Proof. intros N; unfold ufp; now rewrite Req_bool_false. Qed.

Lemma ufp_nonneg x : 0 <= ufp x.
Proof. unfold ufp; destruct (Req_bool x 0); [lra | apply bpow_ge_0]. Qed.

(** ufp(x) is the largest power of two that is at most |x|. *)
Lemma ufp_le x : ufp x <= Rabs x.
Proof.
  destruct (Req_dec x 0) as [-> | N].
  - rewrite ufp_0; apply Rabs_pos.
  - rewrite ufp_bpow by easy; now apply bpow_mag_le.
Qed.

Lemma ufp_lt x : x <> 0 -> Rabs x < 2 * ufp x.
Proof.
  intros N; rewrite ufp_bpow by easy.
  replace (2 * _) with (bpow radix2 (mag radix2 x)); [apply bpow_mag_gt |].
  rewrite <- (bpow_plus_1 radix2); f_equal; lia.
Qed.

Lemma ufp_monotone x y : Rabs x <= Rabs y -> ufp x <= ufp y.
Proof.
  intros L; destruct (Req_dec x 0) as [-> | N]; [rewrite ufp_0; apply ufp_nonneg |].
  assert (y <> 0) by (intros ->; pose proof (Rabs_pos_lt x N); rewrite Rabs_R0 in L; lra).
  rewrite !ufp_bpow by easy; apply bpow_le.
  pose proof (mag_le_abs radix2 x y N L); lia.
Qed.

(** ** 3. The error of one rounding *)

(** Half the distance of consecutive numbers: the definition of "to nearest". *)
Lemma fl_half_ulp F x : well_formed F ->
  Rabs (fl F x - x) <= / 2 * ulp radix2 (fexp F) x.
Proof. intros W; apply error_le_half_ulp, fexp_valid, W. Qed.

(** From the smallest normal number on, half an ulp is u ufp(x). *)
Lemma fl_error_normal F x : well_formed F -> smallest_normal F <= Rabs x ->
  Rabs (fl F x - x) <= unit_roundoff F * ufp x.
Proof.
  intros W L; unfold smallest_normal in L.
  pose proof (bpow_gt_0 radix2 (quantum F + precision F - 1)).
  assert (N : x <> 0) by (intros ->; rewrite Rabs_R0 in L; lra).
  apply Rle_trans with (1 := fl_half_ulp F x W); apply Req_le.
  apply mag_ge_bpow in L.
  rewrite ulp_neq_0, ufp_bpow by easy; unfold cexp, fexp, FLT_exp, unit_roundoff.
  change (/ 2) with (bpow radix2 (-1)); rewrite <- !bpow_plus; f_equal; lia.
Qed.

(** Below it, half an ulp is eta. *)
Lemma fl_error_subnormal F x : well_formed F -> Rabs x < smallest_normal F ->
  Rabs (fl F x - x) <= eta F.
Proof.
  intros W L; apply Rle_trans with (1 := fl_half_ulp F x W); apply Req_le.
  pose proof (precision_positive F W) as P.
  unfold fexp; rewrite ulp_FLT_small by (try easy; apply Rlt_le_trans with (1 := L), bpow_le; lia).
  unfold eta; change (/ 2) with (bpow radix2 (-1)); rewrite <- bpow_plus; f_equal; lia.
Qed.

(** In general, the sum of both. *)
Lemma fl_error F x : well_formed F ->
  Rabs (fl F x - x) <= unit_roundoff F * ufp x + eta F.
Proof.
  intros W.
  assert (0 <= unit_roundoff F * ufp x)
    by (apply Rmult_le_pos; [apply bpow_ge_0 | apply ufp_nonneg]).
  assert (0 <= eta F) by apply bpow_ge_0.
  destruct (Rlt_or_le (Rabs x) (smallest_normal F)) as [L | L].
  - pose proof (fl_error_subnormal F x W L); lra.
  - pose proof (fl_error_normal F x W L); lra.
Qed.

(** x is a multiple of 2^k. *)
Definition multiple (k : Z) (x : R) : Prop := generic_format radix2 (FIX_exp k) x.

Lemma multiple_intro k m e : (k <= e)%Z -> multiple k (IZR m * bpow radix2 e).
Proof.
  intros L; apply generic_format_FIX; exists (Float radix2 (m * 2 ^ (e - k)) k); [| easy].
  unfold F2R; simpl; rewrite mult_IZR, (IZR_Zpower radix2) by lia.
  rewrite Rmult_assoc, <- bpow_plus; do 2 f_equal; lia.
Qed.

Lemma multiple_inv k x : multiple k x -> exists m, x = IZR m * bpow radix2 k.
Proof. intros M; apply FIX_format_generic in M as [[m e] -> <-]; now exists m. Qed.

(** Multiples of 2^k are closed under addition; exponents of factors add. *)
Lemma multiple_plus k x y : multiple k x -> multiple k y -> multiple k (x + y).
Proof.
  intros Mx My; apply multiple_inv in Mx as [m ->], My as [n ->].
  rewrite <- Rmult_plus_distr_r, <- plus_IZR; apply multiple_intro; lia.
Qed.

Lemma multiple_mult k l x y : multiple k x -> multiple l y -> multiple (k + l) (x * y).
Proof.
  intros Mx My; apply multiple_inv in Mx as [m ->], My as [n ->].
  replace (_ * _) with (IZR (m * n) * bpow radix2 (k + l))
    by (rewrite mult_IZR, bpow_plus; ring).
  apply multiple_intro; lia.
Qed.

Lemma multiple_weaken k l x : (k <= l)%Z -> multiple l x -> multiple k x.
Proof. intros L M; apply multiple_inv in M as [m ->]; now apply multiple_intro. Qed.

(** Numbers are multiples of the smallest positive number. *)
Lemma number_multiple F x : number F x -> multiple (quantum F) x.
Proof. apply generic_format_FIX_FLT. Qed.

(** Below the normal range, all multiples of the smallest positive number are numbers, ... *)
Lemma subnormal_number F x : well_formed F -> multiple (quantum F) x ->
  Rabs x < smallest_normal F -> number F x.
Proof.
  intros W M L; apply generic_format_FLT_FIX; [now apply precision_positive | | easy].
  apply Rlt_le, Rlt_le_trans with (1 := L), bpow_le; lia.
Qed.

(** ... so that they are rounded with no absolute error. *)
Lemma fl_multiple_error F x : well_formed F -> multiple (quantum F) x ->
  Rabs (fl F x - x) <= unit_roundoff F * ufp x.
Proof.
  intros W M; destruct (Rlt_or_le (Rabs x) (smallest_normal F)) as [L | L].
  - rewrite fl_id, Rminus_diag_eq, Rabs_R0 by (try easy; now apply subnormal_number).
    apply Rmult_le_pos; [apply bpow_ge_0 | apply ufp_nonneg].
  - now apply fl_error_normal.
Qed.

(** Numbers of one format add exactly below the normal range. *)
Lemma fl_sum_error F x y : well_formed F -> number F x -> number F y ->
  Rabs (fl F (x + y) - (x + y)) <= unit_roundoff F * ufp (x + y).
Proof.
  intros W Nx Ny; apply fl_multiple_error; [easy |].
  now apply multiple_plus; apply number_multiple.
Qed.

(** ** 4. Two formats: products in the accumulator *)

(** The accumulator has every number of the storage format. *)
Lemma number_in_accumulator A x : coherent A -> number (storage A) x -> number (accumulator A) x.
Proof.
  intros (_ & _ & Hp & Hq & _); apply generic_inclusion_mag; intros _.
  unfold fexp, FLT_exp; lia.
Qed.

(** The significands of two numbers of p bits have a product of 2p bits: it is a number of every
    format with so many, unless it underflows. *)
Lemma product_number S F x y : well_formed S -> well_formed F -> number S x -> number S y ->
  (2 * precision S <= precision F)%Z -> smallest_normal F <= Rabs (x * y) -> number F (x * y).
Proof.
  intros WS WF Nx Ny Hp L.
  pose proof (precision_positive S WS); pose proof (precision_positive F WF).
  apply generic_format_FLT_FLX; [easy |].
  apply FLT_format_generic in Nx as [[m e] -> Hm _], Ny as [[n f] -> Hn _]; try easy.
  rewrite <- F2R_mult; apply generic_format_FLX; eexists; [reflexivity |].
  simpl in Hm, Hn |- *.
  rewrite Z.abs_mul; unfold Prec_gt_0 in *.
  apply Z.lt_le_trans with (2 ^ precision S * 2 ^ precision S)%Z;
    [apply Z.mul_lt_mono_nonneg; lia |].
  rewrite <- Z.pow_add_r by lia; apply Z.pow_le_mono_r; lia.
Qed.

(** A product of numbers is a multiple of 2^(2q). *)
Lemma product_multiple S k x y : number S x -> number S y -> (k <= 2 * quantum S)%Z ->
  multiple k (x * y).
Proof.
  intros Nx Ny L; apply multiple_weaken with (quantum S + quantum S)%Z; [lia |].
  now apply multiple_mult; apply number_multiple.
Qed.

(** The product of two storage numbers, in the accumulator: no relative error if its bits fit, no
    absolute error if its exponent does. *)
Lemma product_error A x y : coherent A -> number (storage A) x -> number (storage A) y ->
  Rabs (fl (accumulator A) (x * y) - x * y) <=
    product_relative A * Rabs (x * y) +
    (if (quantum (accumulator A) <=? 2 * quantum (storage A))%Z then 0 else eta (accumulator A)).
Proof.
  intros (WS & WF & _) Nx Ny; unfold product_relative.
  set (F := accumulator A) in *; set (S := storage A) in *.
  assert (0 <= eta F) by apply bpow_ge_0.
  assert (U : unit_roundoff F * ufp (x * y) <= unit_roundoff F * Rabs (x * y))
    by (apply Rmult_le_compat_l; [apply bpow_ge_0 | apply ufp_le]).
  assert (Exact : number F (x * y) -> Rabs (fl F (x * y) - x * y) = 0)
    by (intros N; rewrite fl_id, Rminus_diag_eq, Rabs_R0; easy).
  destruct (Z.leb_spec (2 * precision S) (precision F)) as [Hp | Hp];
    destruct (Z.leb_spec (quantum F) (2 * quantum S)) as [Hq | Hq].
  - rewrite Exact; [lra |].
    destruct (Rlt_or_le (Rabs (x * y)) (smallest_normal F)).
    + now apply subnormal_number; [| apply product_multiple with S |].
    + now apply product_number with S.
  - destruct (Rlt_or_le (Rabs (x * y)) (smallest_normal F)).
    + pose proof (fl_error_subnormal F (x * y) WF ltac:(easy)); lra.
    + rewrite Exact by now apply product_number with S.
      lra.
  - pose proof (fl_multiple_error F (x * y) WF (product_multiple S _ x y Nx Ny Hq)); lra.
  - pose proof (fl_error F (x * y) WF); lra.
Qed.

(** A fused operation is one rounding; it adds multiples of the smallest positive number if the
    products are such multiples. *)
Lemma fused_error A x y s : coherent A -> number (storage A) x -> number (storage A) y ->
  number (accumulator A) s ->
  Rabs (fl (accumulator A) (x * y + s) - (x * y + s)) <=
    unit_roundoff (accumulator A) * ufp (x * y + s) +
    (if (quantum (accumulator A) <=? 2 * quantum (storage A))%Z then 0 else eta (accumulator A)).
Proof.
  intros (_ & WF & _) Nx Ny Ns; set (F := accumulator A) in *; set (S := storage A) in *.
  destruct (Z.leb_spec (quantum F) (2 * quantum S)) as [Hq | Hq]; [| now apply fl_error].
  rewrite Rplus_0_r; apply fl_multiple_error, multiple_plus; [easy | |].
  - now apply product_multiple with S.
  - now apply number_multiple.
Qed.

(** ** 5. Results in range *)

(** Omega is a number, so rounding does not leave [-Omega, Omega]. *)
Lemma rounded_some F x : well_formed F -> Rabs x <= Omega F -> rounded F x = Some (fl F x).
Proof.
  intros W L; unfold rounded; rewrite Rle_bool_true; [easy |].
  apply abs_round_le_generic; [now apply fexp_valid | apply valid_rnd_N | apply W | easy].
Qed.

Lemma rounded_inv F x y : rounded F x = Some y -> y = fl F x /\ Rabs (fl F x) <= Omega F.
Proof.
  unfold rounded; destruct (Rle_bool_spec (Rabs (fl F x)) (Omega F)) as [L | L]; [| easy].
  now intros [= <-].
Qed.

(** Between two ends that stay in range the result stays in range: the staircase is monotone. *)
Lemma rounded_between F x x' y l h : well_formed F -> x <= y <= x' ->
  rounded F x = Some l -> rounded F x' = Some h ->
  exists z, rounded F y = Some z /\ l <= z <= h /\ number F z.
Proof.
  intros W [Lx Lx'] Hl Hh; apply rounded_inv in Hl as [-> Bl], Hh as [-> Bh].
  apply (fl_monotone F) in Lx, Lx'; [| easy ..].
  exists (fl F y); repeat split; [| easy .. | now apply fl_number].
  unfold rounded; rewrite Rle_bool_true; [easy |].
  apply Rabs_le; apply Rabs_le_inv in Bl, Bh; lra.
Qed.

(** ** 6. The formats of format.py *)

Definition tf32 := Format 11 (-136) (Float radix2 2047 117).
Definition e4m3 := Format 4 (-9) (Float radix2 14 5).
Definition e5m2 := Format 3 (-16) (Float radix2 7 13).

(** A largest number with a significand of p bits makes a format well formed. *)
Lemma well_formed_intro p q m k : (1 < p)%Z -> (q <= k)%Z -> (2 ^ (p - 1) <= m < 2 ^ p)%Z ->
  well_formed (Format p q (Float radix2 m k)).
Proof.
  intros P Q M; split; [easy | split].
  - apply generic_format_FLT; eexists; [reflexivity | simpl; lia | easy].
  - unfold smallest_normal, Omega, F2R; simpl.
    apply Rle_trans with (bpow radix2 (p - 1) * bpow radix2 k).
    + rewrite <- bpow_plus; apply bpow_le; lia.
    + apply Rmult_le_compat_r; [apply bpow_ge_0 |].
      rewrite <- IZR_Zpower by lia; apply IZR_le; easy.
Qed.

(** So all of them are. *)
Lemma binary16_well_formed : well_formed binary16.
Proof. now apply well_formed_intro. Qed.

Lemma bfloat16_well_formed : well_formed bfloat16.
Proof. now apply well_formed_intro. Qed.

Lemma binary32_well_formed : well_formed binary32.
Proof. now apply well_formed_intro. Qed.

Lemma binary64_well_formed : well_formed binary64.
Proof. now apply well_formed_intro. Qed.

Lemma narrow_formats_well_formed : well_formed tf32 /\ well_formed e4m3 /\ well_formed e5m2.
Proof. repeat split; now apply well_formed_intro. Qed.
