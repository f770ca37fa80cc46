(** * The first form: sums to nearest, without a condition on the number of terms

    To nearest, an addition errs by less than either operand, besides u / (1 + u) of its result.
    So m numbers, added in any order, err by (m - 1) u S at most ([first_form]); products that are
    rounded, or fused into the addition, by m u S at most, and what underflows
    ([first_form_products]). S is the sum of the magnitudes, u the unit roundoff; nothing is
    flushed. After C.-P. Jeannerod and S. M. Rump, SIAM J. Matrix Anal. Appl. 34 (2013).

    Depends on: [Orders.v] (trees), [Sum.v], [Format.v]. *)

From Coq Require Import Reals List Permutation ZArith Lra Lia.
From Flocq Require Import Core.
From Errbound Require Import Statement Format Sum Orders.
Import ListNotations.
Open Scope R_scope.

(** ** 1. What one addition may add *)

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

(** ** 2. Rounding to nearest *)

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

(** ** 3. Sums of numbers *)

(** Numbers added to nearest, ties in any way: (m - 1) u S for every m. *)
Theorem first_form F h l z : well_formed F ->
  trees (fun y y' z => Rnd_N_pt (number F) (y + y') z) h l z ->
  Forall (fun p => number F (fst p) /\ snd p = fst p) l ->
  number F z /\ Rabs (z - exact (terms l)) <=
    INR (length l - 1) * unit_roundoff F * magnitude (terms l).
Proof.
  intros W T; pose proof (unit_roundoff_pos F) as Hu.
  induction T as [x y|h h' l l' y y' z T IH T' IH' Hz|h l l' z P _ IH]; intros Hl.
  - inversion_clear Hl as [|? ? H _]; destruct H as (N & E); simpl in *; subst y.
    unfold exact; simpl; rewrite Rplus_0_r, Rminus_diag_eq, Rabs_R0 by reflexivity.
    split; [easy|lra].
  - apply Forall_app in Hl; destruct (IH (proj1 Hl)) as (N & D), (IH' (proj2 Hl)) as (N' & D').
    split; [apply Hz|].
    destruct (nearest_addition F y y' z W N N' Hz) as (D1 & D2 & D3).
    pose proof (trees_length _ _ _ _ T); pose proof (trees_length _ _ _ _ T').
    rewrite minus_INR in D, D' by assumption; simpl (INR 1) in D, D'.
    unfold terms in *; rewrite map_app; fold (terms l) (terms l') in *.
    rewrite exact_app, magnitude_app, minus_INR, app_length, plus_INR
      by (rewrite app_length; lia); simpl (INR 1).
    pose proof (exact_le_magnitude (terms l)); pose proof (exact_le_magnitude (terms l')).
    pose proof (Rabs_pos (exact (terms l))); pose proof (Rabs_pos (exact (terms l'))).
    pose proof (Rabs_triang_inv y (exact (terms l))).
    pose proof (Rabs_triang_inv y' (exact (terms l'))).
    assert (1 <= INR (length l)) by (apply (le_INR 1); assumption).
    assert (1 <= INR (length l')) by (apply (le_INR 1); assumption).
    set (m := INR (length l)) in *; set (m' := INR (length l')) in *.
    set (M := magnitude (terms l)) in *; set (M' := magnitude (terms l')) in *.
    pose proof (Rmult_le_pos _ M (Rlt_le _ _ Hu) ltac:(lra)).
    pose proof (Rmult_le_pos _ M' (Rlt_le _ _ Hu) ltac:(lra)).
    pose proof (addition_charge (unit_roundoff F) m m' M M' (Rabs y) (Rabs y') _ Hu
      ltac:(assumption) ltac:(assumption) ltac:(lra) ltac:(lra) ltac:(lra) ltac:(lra) D1 D2 D3).
    replace (z - _) with (z - (y + y') + (y - exact (terms l) + (y' - exact (terms l')))) by ring.
    pose proof (Rabs_triang (y - exact (terms l)) (y' - exact (terms l'))).
    eapply Rle_trans; [apply Rabs_triang|]; lra.
  - pose proof (Permutation_map (fun p : R * R => Number (fst p)) P) as P'.
    unfold terms in *; rewrite <- (Permutation_length P), <- (exact_permuted _ _ P'),
      <- (magnitude_permuted _ _ P').
    apply IH, (Permutation_Forall (Permutation_sym P)), Hl.
Qed.

(** ** 4. Products and fused operations *)

(** m - 1, or m if products are rounded. *)
Definition roundings (A : arithmetic) (m : nat) : R :=
  if Req_bool (product_relative A) 0 then INR (m - 1) else INR m.

Lemma roundings_bounds A m : 0 <= roundings A m <= INR m.
Proof.
  unfold roundings; destruct (Req_bool _ _); split; try apply pos_INR; try apply le_INR; lia || lra.
Qed.

Lemma roundings_plus A m m' : (1 <= m)%nat -> roundings A (m + m') = roundings A m + INR m'.
Proof.
  intros H; unfold roundings; destruct (Req_bool _ _); rewrite <- plus_INR; f_equal; lia.
Qed.

(** One error is relative, or it is underflow. *)
Lemma error_or_underflow A x d : coherent A -> flushes A = false ->
  d = Rabs (fl (accumulator A) x - x) ->
  d <= unit_roundoff (accumulator A) * Rabs x + product_absolute A ->
  d <= unit_roundoff (accumulator A) * Rabs x \/ d <= product_absolute A.
Proof.
  intros (_ & W & _) Hf -> H; unfold product_absolute in *; rewrite Hf in *.
  destruct (_ <=? _)%Z; [left; lra|].
  pose proof (unit_roundoff_pos (accumulator A)); pose proof (ufp_le x).
  destruct (Rle_or_lt (smallest_normal (accumulator A)) (Rabs x)) as [L|L].
  - left; pose proof (fl_error_normal _ x W L); nra.
  - right; apply fl_error_subnormal; assumption.
Qed.

(** What underflows is counted as a term of its own: there are s' and S', near s and S, such that
    the computed y errs by the first form from s'. *)
Definition near_form (A : arithmetic) (l : list term) (y : R) : Prop :=
  let E := INR (count l) * product_absolute A in
  number (accumulator A) y /\
  exists s' S', Rabs (s' - exact l) <= E /\ Rabs s' <= S' /\ S' <= magnitude l + E /\
    Rabs (y - s') <= roundings A (count l) * (unit_roundoff (accumulator A) * S').

Lemma near_form_exact A l y : 0 <= product_absolute A -> number (accumulator A) y ->
  Rabs (y - exact l) <= INR (count l) * product_absolute A -> near_form A l y.
Proof.
  intros Hp Hy H; split; [exact Hy|]; exists y, (Rabs y).
  pose proof (exact_le_magnitude l); pose proof (Rabs_triang_inv y (exact l)).
  rewrite (Rminus_diag_eq y y eq_refl), Rabs_R0; repeat split; try lra.
  apply Rmult_le_pos; [apply roundings_bounds|].
  apply Rmult_le_pos; [apply Rlt_le, unit_roundoff_pos|apply Rabs_pos].
Qed.

Lemma near_form_product A a b o y : coherent A -> flushes A = false ->
  fits A (Product a b) -> o = rounded (accumulator A) (a * b) -> o = Some y ->
  near_form A [Product a b] y.
Proof.
  intros HA Hf (Na & Nb) -> Ho; pose proof (proj1 (proj2 HA)) as W.
  apply rounded_inv in Ho; destruct Ho as (-> & _).
  pose proof (underflow_le A HA) as U; pose proof (unit_roundoff_pos (accumulator A)) as Hu.
  pose proof (product_error A a b HA Na Nb) as D; pose proof (Rabs_pos (a * b)).
  pose proof (fl_number (accumulator A) (a * b) W) as N.
  assert (X : exact [Product a b] = a * b) by (unfold exact; simpl; ring).
  assert (M : magnitude [Product a b] = Rabs (a * b)) by (unfold magnitude; simpl; ring).
  destruct (Req_dec (a * b) 0) as [Z|Z].
  { apply near_form_exact; [lra|exact N|].
    rewrite X, Z, fl_0, Rminus_0_r, Rabs_R0; apply Rmult_le_pos; [apply pos_INR|lra]. }
  assert (C : count [Product a b] = 1%nat) by (rewrite count_nonzero by exact Z; reflexivity).
  assert (P : product_relative A = 0 \/ product_relative A = unit_roundoff (accumulator A))
    by (unfold product_relative; destruct (2 * _ <=? _)%Z; [left|right]; reflexivity).
  destruct (error_or_underflow A (a * b) _ HA Hf eq_refl) as [K|K]; [destruct P; nra| |].
  - destruct P as [P|P].
    { apply near_form_exact; [lra|exact N|]; rewrite P in D; rewrite X, C; simpl; lra. }
    split; [exact N|]; exists (a * b), (Rabs (a * b)).
    unfold roundings; rewrite X, M, C, P, Req_bool_false by lra; simpl.
    rewrite (Rminus_diag_eq (a * b) _ eq_refl), Rabs_R0; repeat split; lra.
  - apply near_form_exact; [lra|exact N|]; rewrite X, C; simpl; lra.
Qed.

Lemma fl_nearest F x : well_formed F -> Rnd_N_pt (number F) x (fl F x).
Proof. intros W; apply round_N_pt, fexp_valid, W. Qed.

(** Two sums added: as in [first_form]. *)
Lemma near_form_addition A l l' y y' z : coherent A -> count l <> O -> count l' <> O ->
  near_form A l y -> near_form A l' y' -> Some z = rounded (accumulator A) (y + y') ->
  near_form A (l ++ l') z.
Proof.
  intros HA C C' (N & s & S & Hs & HS & HM & D) (N' & s' & S' & Hs' & HS' & HM' & D') Hz.
  pose proof (proj1 (proj2 HA)) as W; symmetry in Hz; apply rounded_inv in Hz.
  destruct Hz as (-> & _); split; [apply fl_number, W|].
  exists (s + s'), (S + S'); rewrite exact_app, magnitude_app, count_app.
  rewrite roundings_plus, plus_INR by lia.
  destruct (nearest_addition _ y y' _ W N N' (fl_nearest _ _ W)) as (D1 & D2 & D3).
  set (d := Rabs (fl _ _ - _)) in *; pose proof (roundings_bounds A (count l)) as K.
  pose proof (roundings_bounds A (count l')) as K'.
  assert (Eq : roundings A (count l) + INR (count l') = roundings A (count l') + INR (count l))
    by (rewrite <- !roundings_plus by lia; f_equal; lia).
  assert (1 <= INR (count l)) by (apply (le_INR 1); lia).
  assert (1 <= INR (count l')) by (apply (le_INR 1); lia).
  set (k := roundings A (count l)) in *; set (k' := roundings A (count l')) in *.
  set (m := INR (count l)) in *; set (m' := INR (count l')) in *.
  pose proof (unit_roundoff_pos (accumulator A)) as Hu; set (u := unit_roundoff _) in *.
  pose proof (Rabs_pos s); pose proof (Rabs_pos s').
  pose proof (Rabs_triang_inv y s); pose proof (Rabs_triang_inv y' s').
  assert (B : k * (u * S) <= m * (u * S)) by (apply Rmult_le_compat_r; nra).
  assert (B' : k' * (u * S') <= m' * (u * S')) by (apply Rmult_le_compat_r; nra).
  pose proof (addition_charge u m m' S S' (Rabs y) (Rabs y') d Hu ltac:(lra) ltac:(lra)
    ltac:(lra) ltac:(lra) ltac:(lra) ltac:(lra) D1 D2 D3).
  repeat split.
  - replace (s + s' - _) with (s - exact l + (s' - exact l')) by ring.
    eapply Rle_trans; [apply Rabs_triang|]; lra.
  - eapply Rle_trans; [apply Rabs_triang|]; lra.
  - lra.
  - assert ((k + m') * (u * S') = (k' + m) * (u * S')) by (rewrite Eq; reflexivity).
    pose proof (Rabs_triang (y - s) (y' - s')).
    replace (fl _ _ - _) with (fl (accumulator A) (y + y') - (y + y') + (y - s + (y' - s')))
      by ring.
    eapply Rle_trans; [apply Rabs_triang|]; fold d; lra.
Qed.

(** A product fused into a sum: what underflows moves the product. *)
Lemma near_form_fused A a b l y z : coherent A -> flushes A = false -> fits A (Product a b) ->
  a * b <> 0 -> count l <> O -> near_form A l y ->
  Some z = rounded (accumulator A) (a * b + y) -> near_form A (Product a b :: l) z.
Proof.
  intros HA Hf (Na & Nb) Hab C (N & s & S & Hs & HS & HM & D) Hz.
  pose proof (proj1 (proj2 HA)) as W; symmetry in Hz; apply rounded_inv in Hz.
  destruct Hz as (-> & _); split; [apply fl_number, W|].
  assert (I : count (Product a b :: l) = (count l + 1)%nat)
    by (rewrite count_nonzero by exact Hab; lia).
  rewrite exact_cons, magnitude_cons, I, roundings_plus, plus_INR by lia; simpl value; simpl INR.
  pose proof (fused_error A a b y HA Na Nb N) as F; pose proof (underflow_le A HA).
  pose proof (ufp_le (a * b + y)); pose proof (unit_roundoff_pos (accumulator A)) as Hu.
  pose proof (proj2 (fl_nearest _ (a * b + y) W) y N) as Dp.
  replace (y - (a * b + y)) with (- (a * b)) in Dp by ring; rewrite Rabs_Ropp in Dp.
  pose proof (error_or_underflow A (a * b + y) _ HA Hf eq_refl ltac:(nra)) as U; clear F.
  pose proof (proj1 (roundings_bounds A (count l))) as K.
  set (k := roundings A (count l)) in *; set (u := unit_roundoff _) in *.
  set (m := INR (count l)) in *; set (e := product_absolute A) in *.
  set (x := fl _ _) in *; set (p := a * b) in *.
  pose proof (Rabs_pos s); pose proof (Rabs_triang_inv y s); pose proof (Rabs_pos p).
  assert (B : 0 <= k * (u * S)) by (repeat apply Rmult_le_pos; lra).
  destruct U as [U|U].
  - exists (p + s), (Rabs p + S); repeat split.
    + replace (p + s - _) with (s - exact l) by ring; lra.
    + eapply Rle_trans; [apply Rabs_triang|]; lra.
    + lra.
    + pose proof (Rmult_le_compat_l u _ _ (Rlt_le _ _ Hu) (Rabs_triang p y)).
      pose proof (fused_charge u k (Rabs p) S (Rabs y) (Rabs (x - (p + y))) Hu K ltac:(lra)
        ltac:(lra) ltac:(lra) Dp ltac:(lra)).
      replace (x - (p + s)) with (x - (p + y) + (y - s)) by ring.
      eapply Rle_trans; [apply Rabs_triang|]; lra.
  - exists (x - y + s), (Rabs p + e + S); repeat split.
    + replace (x - y + s - _) with (x - (p + y) + (s - exact l)) by ring.
      eapply Rle_trans; [apply Rabs_triang|]; lra.
    + replace (x - y + s) with (x - (p + y) + (p + s)) by ring.
      eapply Rle_trans; [apply Rabs_triang|]; pose proof (Rabs_triang p s); lra.
    + lra.
    + replace (x - (x - y + s)) with (y - s) by ring; eapply Rle_trans; [exact D|].
      apply Rmult_le_compat; [lra|apply Rmult_le_pos; lra|lra|apply Rmult_le_compat_l; lra].
Qed.

(** Every execution that stays in range is near the first form. *)
Lemma sums_near_form A l y : coherent A -> flushes A = false -> Forall (fits A) l ->
  sums A l (Some y) -> near_form A l y.
Proof.
  intros HA Hf Hl Hsum; remember (Some y) as o eqn:Ho; revert y Ho Hl.
  pose proof (underflow_le A HA) as U.
  assert (Rd : forall x x', reads A x x' -> x' = x)
    by (intros x x' [H|(H & _)]; [exact H|congruence]).
  assert (St : forall x o, stores A x o -> o = rounded (accumulator A) x)
    by (intros x o' [H|(H & _)]; [exact H|congruence]).
  induction Hsum as [|c|a b a' b' o Ha Hb Ho'|l l' s s' o C C' _ IH _ IH' Ho'
      |a b a' b' l s o Hab C Ha Hb _ IH Ho'|t l o Ht _ IH|l l' _ IH|l l' o Hp _ IH];
    intros y Ho Hl.
  - injection Ho as <-; apply near_form_exact; [lra|apply number_0|].
    unfold exact; simpl; rewrite Rminus_0_r, Rabs_R0; lra.
  - injection Ho as <-; apply near_form_exact; [lra|inversion_clear Hl; assumption|].
    unfold exact; simpl; replace (c - (c + 0)) with 0 by ring; rewrite Rabs_R0.
    apply Rmult_le_pos; [apply pos_INR|lra].
  - rewrite (Rd _ _ Ha), (Rd _ _ Hb) in Ho'.
    apply (near_form_product A a b o); auto; inversion_clear Hl; assumption.
  - subst o; apply Forall_app in Hl; destruct Hl.
    apply (near_form_addition A l l' s s'); auto.
  - subst o; rewrite (Rd _ _ Ha), (Rd _ _ Hb) in Ho'; inversion_clear Hl.
    apply (near_form_fused A a b l s); auto.
  - inversion_clear Hl; specialize (IH y Ho ltac:(assumption)); unfold near_form in *.
    rewrite count_zero, exact_cons, magnitude_cons, Ht, Rabs_R0, !Rplus_0_l by exact Ht.
    exact IH.
  - discriminate.
  - unfold near_form in *; rewrite <- (count_permuted _ _ Hp), <- (exact_permuted _ _ Hp),
      <- (magnitude_permuted _ _ Hp).
    apply IH; [exact Ho|apply (Permutation_Forall (Permutation_sym Hp)), Hl].
Qed.

(** Products and numbers, in any order, fused or not: k u (S + E) + E for every m, where E is m
    times what a product may underflow and k = m, or m - 1 if products are exact. *)
Theorem first_form_products A l y :
  let E := INR (count l) * product_absolute A in
  coherent A -> flushes A = false -> Forall (fits A) l -> sums A l (Some y) ->
  Rabs (y - exact l) <=
    roundings A (count l) * (unit_roundoff (accumulator A) * (magnitude l + E)) + E.
Proof.
  intros E HA Hf Hl Hsum.
  destruct (sums_near_form A l y HA Hf Hl Hsum) as (_ & s & S & Hs & HS & HM & D); fold E in Hs, HM.
  pose proof (unit_roundoff_pos (accumulator A)); pose proof (roundings_bounds A (count l)).
  pose proof (Rmult_le_compat_l (unit_roundoff (accumulator A)) _ _ ltac:(lra) HM) as B.
  apply (Rmult_le_compat_l (roundings A (count l))) in B; [|lra].
  replace (y - exact l) with (y - s + (s - exact l)) by ring.
  eapply Rle_trans; [apply Rabs_triang|]; lra.
Qed.
