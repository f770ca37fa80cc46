(** * Further bounds of sums in any order

    The bounds that the analysis uses beside the binade bound of [Sum.v].
    - [master_bound]: (E + n (u Q + f)) / (1 - n u); the binade bound is never worse.
    - [any_rounding_master_bound], [any_rounding_binade_bound]: the same for any rounding that errs
      by u |x| + f, or u ufp(x) + f (faithful, truncation, stochastic: 2u in the place of u).
    - [height_form]: d u / (1 - d u) S for trees of height h; d = h, or h + 1 if products round.
    Last, what one addition to nearest may add ([addition_charge], [fused_charge]): with it,
    [FirstForm.v] has the bound without a condition on the number of terms. Depends on: [Sum.v]. *)

From Coq Require Import Reals List Permutation ZArith Lra Lia.
From Flocq Require Import Core.
From Errbound Require Import Statement Format Sum.
Import ListNotations.
Open Scope R_scope.

(** ** 1. The master bound *)

(** The binade bound is at most the master bound: ufp(reach) <= reach = Q + (master bound). *)
Theorem binade_never_worse A n S s E :
  0 <= S -> 0 <= s -> 0 <= E -> 0 <= n -> n * unit_roundoff (accumulator A) < 1 ->
  sum_error A n S s E <=
    (E + n * (unit_roundoff (accumulator A) * ((S + s) / 2) + addition_absolute A)) /
    (1 - n * unit_roundoff (accumulator A)).
Proof.
  intros HS Hs HE Hn Hk.
  pose proof (unit_roundoff_pos (accumulator A)); pose proof (addition_absolute_nonneg A).
  replace (_ / _) with (reach A n S s E - (S + s) / 2) by (unfold reach; field; lra).
  assert (P : 0 <= reach A n S s E) by (apply reach_nonneg; assumption).
  pose proof (reach_spec A n S s E Hk) as HR.
  pose proof (ufp_le (reach A n S s E)) as U; rewrite (Rabs_pos_eq _ P) in U.
  enough (n * (unit_roundoff (accumulator A) * ufp (reach A n S s E)) <=
          n * (unit_roundoff (accumulator A) * reach A n S s E)) by (unfold sum_error; lra).
  apply Rmult_le_compat_l; [lra|]; apply Rmult_le_compat_l; lra.
Qed.

(** The master bound of an execution, for its own S, s, E and n. *)
Theorem master_bound A l o :
  let S := magnitude l in let s := Rabs (exact l) in
  let E := leaves A l in let n := INR (count l - 1) in
  coherent A -> Forall (fits A) l -> sums A l o ->
  n * unit_roundoff (accumulator A) < 1 -> reach A n S s E <= Omega (accumulator A) ->
  exists y, o = Some y /\ number (accumulator A) y /\
    Rabs (y - exact l) <=
      (E + n * (unit_roundoff (accumulator A) * ((S + s) / 2) + addition_absolute A)) /
      (1 - n * unit_roundoff (accumulator A)).
Proof.
  intros S s E n HA Hfit Hsum Hk HO.
  destruct (sums_bound A l o S s E n HA Hfit Hsum) as (y & -> & Hy & D); try apply Rle_refl;
    try assumption.
  exists y; repeat split; [exact Hy|]; eapply Rle_trans; [exact D|].
  apply binade_never_worse; try assumption.
  - pose proof (exact_le_magnitude l); pose proof (Rabs_pos (exact l)); unfold S; lra.
  - apply Rabs_pos.
  - apply leaves_nonneg, HA.
  - apply pos_INR.
Qed.

(** ** 2. Any rounding *)

(** A tree over pairs of an exact term and the leaf that is stored for it; [add y y' z]: the sum of
    y and y' may be stored as z. The number is the height: the most additions above a leaf. *)
Inductive trees (add : R -> R -> R -> Prop) : nat -> list (R * R) -> R -> Prop :=
| trees_leaf x y : trees add 0 [(x, y)] y
| trees_addition h h' l l' y y' z :
    trees add h l y -> trees add h' l' y' -> add y y' z -> trees add (S (max h h')) (l ++ l') z
| trees_permuted h l l' z : Permutation l l' -> trees add h l z -> trees add h l' z.

Definition terms (l : list (R * R)) : list term := map (fun p => Number (fst p)) l.
Definition errors (l : list (R * R)) : R := total (map (fun p => Rabs (snd p - fst p)) l).

Lemma trees_length add h l z : trees add h l z -> (1 <= length l)%nat.
Proof.
  induction 1 as [| |h l l' z P]; simpl; rewrite ?app_length, <- ?(Permutation_length P); lia.
Qed.

Lemma errors_app l l' : errors (l ++ l') = errors l + errors l'.
Proof. unfold errors; rewrite map_app; apply total_app. Qed.

Lemma errors_nonneg l : 0 <= errors l.
Proof. apply total_nonneg; intros; apply Rabs_pos. Qed.

(** As in [sums_within], for additions that err by u w(x) + f, where w grows with |x|. *)
Lemma trees_within (add : R -> R -> R -> Prop) u f w h l z Q E n X :
  let g := u * w X + f in
  0 <= u -> 0 <= f -> 0 <= w X -> (forall x, Rabs x <= X -> w x <= w X) ->
  (forall y y' z, add y y' z -> Rabs (z - (y + y')) <= u * w (y + y') + f) ->
  trees add h l z -> Q + E + n * g <= X ->
  operand (terms l) <= Q -> errors l <= E -> INR (length l - 1) <= n ->
  Rabs (z - exact (terms l)) <= errors l + INR (length l - 1) * g.
Proof.
  intros g Hu Hf Hw0 Hw Hadd T HX.
  assert (Hg : 0 <= g) by (unfold g; nra).
  induction T as [x y|h h' l l' y y' z T IH T' IH' Hz|h l l' z P _ IH]; intros HQ HE Hn.
  - unfold errors, exact; simpl; rewrite !Rplus_0_r; lra.
  - pose proof (trees_length _ _ _ _ T); pose proof (trees_length _ _ _ _ T').
    assert (I : INR (length (l ++ l') - 1) = INR (length l - 1) + INR (length l' - 1) + 1)
      by (rewrite app_length, <- plus_INR, <- S_INR; f_equal; lia).
    unfold terms in *; rewrite map_app in *; fold (terms l) (terms l') in *.
    pose proof (operand_app (terms l) (terms l')); pose proof (operand_app_r (terms l) (terms l')).
    pose proof (exact_le_operand (terms l ++ terms l')) as L.
    rewrite exact_app, errors_app, I in *.
    pose proof (errors_nonneg l); pose proof (errors_nonneg l').
    pose proof (pos_INR (length l - 1)); pose proof (pos_INR (length l' - 1)).
    specialize (IH ltac:(lra) ltac:(lra) ltac:(lra)).
    specialize (IH' ltac:(lra) ltac:(lra) ltac:(lra)).
    pose proof (Rmult_le_compat_r g _ _ Hg Hn).
    pose proof (Rabs_triang (y - exact (terms l)) (y' - exact (terms l'))) as D.
    assert (B : Rabs (y + y') <= X).
    { replace (y + y') with (exact (terms l) + exact (terms l') +
        (y - exact (terms l) + (y' - exact (terms l')))) by ring.
      eapply Rle_trans; [apply Rabs_triang|]; lra. }
    pose proof (Rmult_le_compat_l u _ _ Hu (Hw _ B)); specialize (Hadd _ _ _ Hz).
    replace (z - _) with (z - (y + y') + (y - exact (terms l) + (y' - exact (terms l')))) by ring.
    eapply Rle_trans; [apply Rabs_triang|]; unfold g in *; lra.
  - unfold errors in *; rewrite <- (Permutation_length P),
      <- (total_permuted _ _ (Permutation_map _ P)) in *.
    pose proof (Permutation_map (fun p : R * R => Number (fst p)) P) as P'.
    unfold terms in *; rewrite <- (exact_permuted _ _ P'), <- (operand_permuted _ _ P') in *.
    apply IH; assumption.
Qed.

(** Additions that err by u |x| + f: the solution of T = E + n (u (Q + T) + f). *)
Theorem any_rounding_master_bound (add : R -> R -> R -> Prop) u f h l z :
  let n := INR (length l - 1) in let Q := operand (terms l) in
  0 <= u -> 0 <= f -> n * u < 1 ->
  (forall y y' z, add y y' z -> Rabs (z - (y + y')) <= u * Rabs (y + y') + f) ->
  trees add h l z ->
  Rabs (z - exact (terms l)) <= (errors l + n * (u * Q + f)) / (1 - n * u).
Proof.
  intros n Q Hu Hf Hk Hadd T.
  set (X := (Q + errors l + n * f) / (1 - n * u)).
  assert (HX : X = Q + errors l + n * (u * X + f)) by (unfold X; field; lra).
  replace (_ / _) with (X - Q) by (unfold X; field; lra).
  assert (0 <= X).
  { pose proof (exact_le_operand (terms l)); pose proof (Rabs_pos (exact (terms l))).
    pose proof (errors_nonneg l); pose proof (Rmult_le_pos n f (pos_INR _) Hf).
    apply Rmult_le_pos; [unfold Q; lra|apply Rlt_le, Rinv_0_lt_compat; lra]. }
  assert (AX : Rabs X = X) by (apply Rabs_pos_eq; assumption).
  pose proof (trees_within add u f Rabs h l z Q (errors l) n X) as B; simpl in B.
  rewrite AX in B; fold n in B.
  apply Rle_trans with (errors l + n * (u * X + f)); [apply B|]; auto using Rle_refl; lra.
Qed.

(** Additions that err by u ufp(x) + f. *)
Theorem any_rounding_binade_bound (add : R -> R -> R -> Prop) u f h l z :
  let n := INR (length l - 1) in
  let X := (operand (terms l) + errors l + n * f) / (1 - n * u) in
  0 <= u -> 0 <= f -> n * u < 1 ->
  (forall y y' z, add y y' z -> Rabs (z - (y + y')) <= u * ufp (y + y') + f) ->
  trees add h l z -> Rabs (z - exact (terms l)) <= errors l + n * (u * ufp X + f).
Proof.
  intros n X Hu Hf Hk Hadd T.
  assert (HX : X = operand (terms l) + errors l + n * (u * X + f)) by (unfold X; field; lra).
  assert (P : 0 <= X).
  { pose proof (exact_le_operand (terms l)); pose proof (Rabs_pos (exact (terms l))).
    pose proof (errors_nonneg l); pose proof (Rmult_le_pos n f (pos_INR _) Hf).
    apply Rmult_le_pos; [lra|apply Rlt_le, Rinv_0_lt_compat; lra]. }
  pose proof (ufp_le X) as U; rewrite (Rabs_pos_eq _ P) in U.
  pose proof (pos_INR (length l - 1) : 0 <= n).
  apply (trees_within add u f ufp h l z (operand (terms l)) (errors l) n X);
    try assumption; try apply Rle_refl; try apply ufp_nonneg.
  - intros x Hx; apply ufp_monotone; rewrite (Rabs_pos_eq X P); exact Hx.
  - rewrite HX at 2; apply Rplus_le_compat_l, Rmult_le_compat_l; [assumption|].
    apply Rplus_le_compat_r, Rmult_le_compat_l; assumption.
Qed.

(** ** 3. Trees of a known height *)

(** (1 + u)^d <= 1 / (1 - d u), by Bernoulli. *)
Lemma growth u d : 0 <= u -> INR d * u < 1 -> (1 + u) ^ d <= / (1 - INR d * u).
Proof.
  induction d as [|d IH]; intros Hu Hd; [simpl; rewrite Rmult_0_l, Rminus_0_r, Rinv_1; lra|].
  rewrite S_INR in *; pose proof (pos_INR d); specialize (IH Hu ltac:(nra)).
  assert (0 < 1 - INR d * u) by nra.
  apply Rle_trans with ((1 + u) * / (1 - INR d * u)); [apply Rmult_le_compat_l; [lra|exact IH]|].
  apply Rmult_le_reg_r with ((1 - INR d * u) * (1 - (INR d + 1) * u));
    [apply Rmult_lt_0_compat; lra|].
  field_simplify; nra.
Qed.

(** Each addition multiplies what came before by 1 + delta, |delta| <= u. [e]: what a leaf errs
    beyond j relative roundings, [f]: what an addition errs beyond u |x|. *)
Lemma height_within (add : R -> R -> R -> Prop) u f e j h l z :
  0 <= u -> 0 <= f -> 0 <= e ->
  (forall y y' z, add y y' z -> Rabs (z - (y + y')) <= u * Rabs (y + y') + f) ->
  trees add h l z ->
  Forall (fun p => Rabs (snd p - fst p) <= ((1 + u) ^ j - 1) * Rabs (fst p) + e) l ->
  Rabs (z - exact (terms l)) <= ((1 + u) ^ (h + j) - 1) * magnitude (terms l) +
    (1 + u) ^ h * (INR (length l) * e + INR (length l - 1) * f).
Proof.
  intros Hu Hf He Hadd T; induction T as [x y|h h' l l' y y' z T IH T' IH' Hz|h l l' z P _ IH];
    intros Hl.
  - inversion_clear Hl as [|? ? K _]; unfold exact, magnitude; simpl in *.
    rewrite !Rplus_0_r; lra.
  - pose proof (trees_length _ _ _ _ T); pose proof (trees_length _ _ _ _ T').
    assert (I : INR (length (l ++ l') - 1) = INR (length l - 1) + INR (length l' - 1) + 1)
      by (rewrite app_length, <- plus_INR, <- S_INR; f_equal; lia).
    apply Forall_app in Hl; destruct Hl as (F & F'); specialize (IH F); specialize (IH' F').
    unfold terms in *; rewrite map_app; fold (terms l) (terms l') in *.
    rewrite exact_app, magnitude_app, I, app_length, plus_INR.
    set (K := max h h'); set (a := exact (terms l)) in *; set (a' := exact (terms l')) in *.
    set (W := INR (length l) * e + INR (length l - 1) * f) in *.
    set (W' := INR (length l') * e + INR (length l' - 1) * f) in *.
    set (M := magnitude (terms l)) in *; set (M' := magnitude (terms l')) in *.
    assert (HM : Rabs a <= M) by apply exact_le_magnitude.
    assert (HM' : Rabs a' <= M') by apply exact_le_magnitude.
    assert (HW : 0 <= W) by (unfold W; pose proof (pos_INR (length l));
      pose proof (pos_INR (length l - 1)); nra).
    assert (HW' : 0 <= W') by (unfold W'; pose proof (pos_INR (length l'));
      pose proof (pos_INR (length l' - 1)); nra).
    set (p := (1 + u) ^ (K + j)); set (q := (1 + u) ^ K).
    assert (P : forall k, (k <= K)%nat -> (1 + u) ^ (k + j) <= p /\ (1 + u) ^ k <= q)
      by (intros k Hk; split; apply Rle_pow; lia || lra).
    destruct (P h ltac:(lia)) as (P1 & P2), (P h' ltac:(lia)) as (P3 & P4).
    assert (Hq : 1 <= q) by (apply pow_R1_Rle; lra).
    assert (D : Rabs (y + y' - (a + a')) <= (p - 1) * (M + M') + q * (W + W')).
    { replace (y + y' - (a + a')) with (y - a + (y' - a')) by ring.
      eapply Rle_trans; [apply Rabs_triang|].
      pose proof (Rabs_pos a); pose proof (Rabs_pos a').
      assert ((1 + u) ^ (h + j) * M <= p * M) by (apply Rmult_le_compat_r; lra).
      assert ((1 + u) ^ (h' + j) * M' <= p * M') by (apply Rmult_le_compat_r; lra).
      assert ((1 + u) ^ h * W <= q * W) by (apply Rmult_le_compat_r; lra).
      assert ((1 + u) ^ h' * W' <= q * W') by (apply Rmult_le_compat_r; lra).
      lra. }
    assert (B : Rabs (y + y') <= M + M' + ((p - 1) * (M + M') + q * (W + W'))).
    { replace (y + y') with (a + a' + (y + y' - (a + a'))) by ring.
      eapply Rle_trans; [apply Rabs_triang|]; pose proof (Rabs_triang a a'); lra. }
    specialize (Hadd _ _ _ Hz); apply (Rmult_le_compat_l u _ _ Hu) in B.
    replace (z - (a + a')) with (z - (y + y') + (y + y' - (a + a'))) by ring.
    eapply Rle_trans; [apply Rabs_triang|].
    replace ((1 + u) ^ (S K + j)) with ((1 + u) * p) by reflexivity.
    replace ((1 + u) ^ S K) with ((1 + u) * q) by reflexivity.
    replace (_ + _ * f) with (W + W' + f) by (unfold W, W'; ring).
    assert (1 <= (1 + u) * q) by nra.
    assert (1 * f <= (1 + u) * q * f) by (apply Rmult_le_compat_r; assumption); lra.
  - pose proof (Permutation_map (fun p : R * R => Number (fst p)) P) as P'.
    unfold terms in *; rewrite <- (Permutation_length P), <- (exact_permuted _ _ P'),
      <- (magnitude_permuted _ _ P').
    apply IH, (Permutation_Forall (Permutation_sym P)), Hl.
Qed.

(** d u / (1 - d u) S and what is absolute, grown by as much. *)
Theorem height_form (add : R -> R -> R -> Prop) u f e j d h l z :
  let g := INR d * u / (1 - INR d * u) in
  0 <= u -> 0 <= f -> 0 <= e -> (h + j <= d)%nat -> INR d * u < 1 ->
  (forall y y' z, add y y' z -> Rabs (z - (y + y')) <= u * Rabs (y + y') + f) ->
  trees add h l z ->
  Forall (fun p => Rabs (snd p - fst p) <= ((1 + u) ^ j - 1) * Rabs (fst p) + e) l ->
  Rabs (z - exact (terms l)) <=
    g * magnitude (terms l) + (1 + g) * (INR (length l) * e + INR (length l - 1) * f).
Proof.
  intros g Hu Hf He Hd Hk Hadd T Hl.
  assert (G : 1 + g = / (1 - INR d * u)) by (unfold g; field; lra).
  pose proof (growth u d Hu Hk) as K.
  assert (K1 : (1 + u) ^ (h + j) <= (1 + u) ^ d) by (apply Rle_pow; [lra|lia]).
  assert (K2 : (1 + u) ^ h <= (1 + u) ^ d) by (apply Rle_pow; [lra|lia]).
  eapply Rle_trans; [apply (height_within add u f e j); eassumption|].
  pose proof (exact_le_magnitude (terms l)); pose proof (Rabs_pos (exact (terms l))).
  pose proof (Rmult_le_pos _ _ (pos_INR (length l)) He).
  pose proof (Rmult_le_pos _ _ (pos_INR (length l - 1)) Hf).
  apply Rplus_le_compat; apply Rmult_le_compat_r; lra.
Qed.

(** ** 4. What one addition to nearest may add *)

(** The exact results of two trees with m, m' terms are S, S' at most, the computed ones y, y'. The
    error d of their sum is at most that of either operand, and u / (1 + u) of the sum. If one
    of S, S' is below u / (1 + u) of the other, the first fact is enough, else the second. *)
Lemma addition_charge u m m' S S' y y' d :
  0 < u -> 1 <= m -> 1 <= m' -> 0 <= S -> 0 <= S' ->
  y <= (1 + m * u) * S -> y' <= (1 + m' * u) * S' ->
  d <= y -> d <= y' -> (1 + u) * d <= u * (y + y') -> d <= u * (m' * S + m * S').
Proof.
  intros Hu Hm Hm' HS HS' Hy Hy' Dy Dy' D.
  destruct (Rle_or_lt ((1 + u) * S') (u * S)) as [C|C].
  - assert (S' <= S) by nra.
    pose proof (Rmult_le_pos ((m' - 1) * u) (S - S') ltac:(nra) ltac:(lra)).
    pose proof (Rmult_le_pos (m * u) S' ltac:(nra) HS'); lra.
  - destruct (Rle_or_lt ((1 + u) * S) (u * S')) as [C'|C'].
    + assert (S <= S') by nra.
      pose proof (Rmult_le_pos ((m - 1) * u) (S' - S) ltac:(nra) ltac:(lra)).
      pose proof (Rmult_le_pos (m' * u) S ltac:(nra) HS); lra.
    + pose proof (Rmult_le_pos ((m - 1) * u) ((1 + u) * S' - u * S) ltac:(nra) ltac:(lra)).
      pose proof (Rmult_le_pos ((m' - 1) * u) ((1 + u) * S - u * S') ltac:(nra) ltac:(lra)).
      pose proof (Rmult_le_compat_l u _ _ (Rlt_le _ _ Hu) Hy).
      pose proof (Rmult_le_compat_l u _ _ (Rlt_le _ _ Hu) Hy').
      apply Rmult_le_reg_l with (1 + u); lra.
Qed.

(** The same for a fused operation: the exact product p is its own first tree. *)
Lemma fused_charge u k p S y d :
  0 < u -> 0 <= k -> 0 <= p -> 0 <= S -> y <= (1 + k * u) * S ->
  d <= p -> d <= u * (p + y) -> d <= u * ((k + 1) * p + S).
Proof.
  intros Hu Hk Hp HS Hy Dp D; destruct (Rle_or_lt p (u * S)) as [C|C].
  - pose proof (Rmult_le_pos (u * (k + 1)) p ltac:(nra) Hp); lra.
  - pose proof (Rmult_le_pos (u * k) (p - u * S) ltac:(nra) ltac:(lra)).
    pose proof (Rmult_le_compat_l u _ _ (Rlt_le _ _ Hu) Hy); lra.
Qed.

(** ufp(x) is a number, unless x is below all of them. *)
Lemma ufp_number F x : well_formed F -> smallest_normal F <= Rabs x -> number F (ufp x).
Proof.
  intros W L; pose proof (precision_positive F W) as P.
  pose proof (bpow_gt_0 radix2 (quantum F + precision F - 1)) as B.
  assert (N : x <> 0) by (intros ->; unfold smallest_normal in L; rewrite Rabs_R0 in L; lra).
  rewrite ufp_bpow by exact N; apply generic_format_FLT_bpow; [exact P|].
  assert (quantum F + precision F <= mag radix2 x)%Z; [|unfold Prec_gt_0 in P; lia].
  apply mag_ge_bpow, L.
Qed.

(** To nearest, an error is at most u / (1 + u) of x: u ufp(x), and |x| - ufp(x). *)
Lemma nearest_relative F x z : well_formed F -> Rnd_N_pt (number F) x z ->
  number F x \/ smallest_normal F <= Rabs x ->
  (1 + unit_roundoff F) * Rabs (z - x) <= unit_roundoff F * Rabs x.
Proof.
  intros W (_ & Hz) [Hx|Hx].
  - specialize (Hz x Hx); rewrite (Rminus_diag_eq x x eq_refl), Rabs_R0 in Hz.
    pose proof (unit_roundoff_pos F); pose proof (Rabs_pos x); pose proof (Rabs_pos (z - x)); nra.
  - pose proof (Hz _ (fl_number F x W)) as H; pose proof (fl_error_normal F x W Hx).
    assert (Rabs (z - x) <= Rabs x - ufp x).
    { pose proof (ufp_number F x W Hx) as N; pose proof (ufp_le x) as U.
      pose proof (Hz _ N) as K; pose proof (Hz _ (number_opp F _ N)) as K'.
      unfold Rabs in *; repeat destruct (Rcase_abs _); lra. }
    pose proof (unit_roundoff_pos F); nra.
Qed.

(** A sum of two numbers is a number or in the normal range. *)
Lemma sum_normal F x y : well_formed F -> number F x -> number F y ->
  number F (x + y) \/ smallest_normal F <= Rabs (x + y).
Proof.
  intros W Hx Hy; destruct (Rle_or_lt (smallest_normal F) (Rabs (x + y))) as [L|L]; [tauto|left].
  apply subnormal_number; [exact W| |exact L].
  apply multiple_plus; apply number_multiple; assumption.
Qed.

Lemma fl_nearest F x : well_formed F -> Rnd_N_pt (number F) x (fl F x).
Proof. intros W; apply round_N_pt, fexp_valid, W. Qed.

(** All that [addition_charge] asks of an addition of two numbers. *)
Lemma nearest_addition F y y' z : well_formed F -> number F y -> number F y' ->
  Rnd_N_pt (number F) (y + y') z ->
  Rabs (z - (y + y')) <= Rabs y /\ Rabs (z - (y + y')) <= Rabs y' /\
  (1 + unit_roundoff F) * Rabs (z - (y + y')) <= unit_roundoff F * (Rabs y + Rabs y').
Proof.
  intros W N N' Hz; pose proof (proj2 Hz y' N') as D; pose proof (proj2 Hz y N) as D'.
  replace (y' - (y + y')) with (- y) in D by ring.
  replace (y - (y + y')) with (- y') in D' by ring; rewrite Rabs_Ropp in D, D'.
  pose proof (nearest_relative F _ z W Hz (sum_normal F y y' W N N')).
  pose proof (unit_roundoff_pos F); pose proof (Rabs_triang y y'); repeat split; nra.
Qed.
