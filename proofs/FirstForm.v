(** * The first form: sums to nearest, without a condition on the number of terms

    To nearest, an addition errs by less than either operand, besides u / (1 + u) of its result.
    So m numbers, added in any order, err by (m - 1) u S at most ([first_form]); products that are
    rounded, or fused into the addition, by m u S at most, and what underflows
    ([first_form_products]). S is the sum of the magnitudes, u the unit roundoff; nothing is
    flushed. After C.-P. Jeannerod and S. M. Rump, SIAM J. Matrix Anal. Appl. 34 (2013).
    Nothing overflows if S and that bound are in range together ([first_form_bound]).

    Depends on: [Orders.v] (trees; one addition to nearest), [Sum.v], [Format.v]. *)

From Coq Require Import Reals List Permutation ZArith Lra Lia.
From Flocq Require Import Core.
From Errbound Require Import Statement Format Sum Orders.
Import ListNotations.
Open Scope R_scope.

(** ** 1. Sums of numbers *)

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

(** ** 2. Products and fused operations *)

(** m - 1, or m if products are rounded. *)
Definition roundings (A : arithmetic) (m : nat) : R :=
  INR (if Req_bool (product_relative A) 0 then m - 1 else m).

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
  assert (Rd : forall F x x', reads A F x x' -> x' = x)
    by (intros F x x' [H|(H & _)]; [exact H|congruence]).
  assert (St : forall x o, stores A x o -> o = rounded (accumulator A) x)
    by (intros x o' [H|(H & _)]; [exact H|congruence]).
  induction Hsum as [|c c' Hc|a b a' b' o Ha Hb Ho'|l l' s s' o C C' _ IH _ IH' Ho'
      |a b a' b' l s o Hab C Ha Hb _ IH Ho'|t l o Ht _ IH|l l' _ IH|l l' o Hp _ IH];
    intros y Ho Hl.
  - injection Ho as <-; apply near_form_exact; [lra|apply number_0|].
    unfold exact; simpl; rewrite Rminus_0_r, Rabs_R0; lra.
  - injection Ho as <-; rewrite (Rd _ _ _ Hc).
    apply near_form_exact; [lra|inversion_clear Hl; assumption|].
    unfold exact; simpl; replace (c - (c + 0)) with 0 by ring; rewrite Rabs_R0.
    apply Rmult_le_pos; [apply pos_INR|lra].
  - rewrite (Rd _ _ _ Ha), (Rd _ _ _ Hb) in Ho'.
    apply (near_form_product A a b o); auto; inversion_clear Hl; assumption.
  - subst o; apply Forall_app in Hl; destruct Hl.
    apply (near_form_addition A l l' s s'); auto.
  - subst o; rewrite (Rd _ _ _ Ha), (Rd _ _ _ Hb) in Ho'; inversion_clear Hl.
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
  coherent A -> flushes A = false -> Forall (fits A) l -> sums A l (Some y) ->
  Rabs (y - exact l) <= first_form_error A (count l) (magnitude l).
Proof.
  intros HA Hf Hl Hsum; unfold first_form_error; cbv zeta; fold (roundings A (count l)).
  destruct (sums_near_form A l y HA Hf Hl Hsum) as (_ & s & S & Hs & HS & HM & D).
  set (E := INR (count l) * product_absolute A) in *.
  pose proof (unit_roundoff_pos (accumulator A)); pose proof (roundings_bounds A (count l)).
  pose proof (Rmult_le_compat_l (unit_roundoff (accumulator A)) _ _ ltac:(lra) HM) as B.
  apply (Rmult_le_compat_l (roundings A (count l))) in B; [|lra].
  replace (y - exact l) with (y - s + (s - exact l)) by ring.
  eapply Rle_trans; [apply Rabs_triang|]; lra.
Qed.

(** ** 3. No overflow *)

(** The bound of two sums together is at least the sum of the bounds: each has cross terms. *)
Lemma first_form_error_plus A m m' S S' : coherent A -> 0 <= S -> 0 <= S' ->
  0 <= first_form_error A m S /\
  first_form_error A m S + first_form_error A m' S' <= first_form_error A (m + m') (S + S').
Proof.
  intros HA HS HS'; unfold first_form_error; cbv zeta.
  fold (roundings A m) (roundings A m') (roundings A (m + m')).
  assert (K : roundings A m + roundings A m' <= roundings A (m + m')).
  { unfold roundings; destruct (Req_bool _ _); rewrite <- plus_INR; apply le_INR; lia. }
  pose proof (roundings_bounds A m); pose proof (roundings_bounds A m'); rewrite plus_INR.
  pose proof (underflow_le A HA); pose proof (unit_roundoff_pos (accumulator A)) as Hu.
  assert (0 <= INR m * product_absolute A) by (apply Rmult_le_pos; [apply pos_INR|lra]).
  assert (0 <= INR m' * product_absolute A) by (apply Rmult_le_pos; [apply pos_INR|lra]).
  rewrite Rmult_plus_distr_r; set (E := INR m * _) in *; set (E' := INR m' * _) in *.
  set (k := roundings A m) in *; set (k' := roundings A m') in *.
  set (u := unit_roundoff _) in *.
  assert (0 <= u * (S + E)) by (apply Rmult_le_pos; lra).
  assert (0 <= u * (S' + E')) by (apply Rmult_le_pos; lra).
  replace (u * (S + S' + (E + E'))) with (u * (S + E) + u * (S' + E')) by ring.
  set (X := u * (S + E)) in *; set (X' := u * (S' + E')) in *.
  apply (Rmult_le_compat_r (X + X')) in K; [|lra].
  pose proof (Rmult_le_pos k X' ltac:(lra) ltac:(lra)).
  pose proof (Rmult_le_pos k' X ltac:(lra) ltac:(lra)).
  pose proof (Rmult_le_pos k X ltac:(lra) ltac:(lra)).
  split; lra.
Qed.

(** What a computed sum of the terms may be, at most. *)
Definition room (A : arithmetic) (l : list term) : R :=
  magnitude l + first_form_error A (count l) (magnitude l).

Lemma magnitude_nonneg l : 0 <= magnitude l.
Proof. apply total_nonneg; intros; apply Rabs_pos. Qed.

Lemma room_app A l l' : coherent A -> room A l + room A l' <= room A (l ++ l').
Proof.
  intros HA; unfold room; rewrite magnitude_app, count_app.
  pose proof (proj2 (first_form_error_plus A (count l) (count l') _ _ HA
    (magnitude_nonneg l) (magnitude_nonneg l'))); lra.
Qed.

Lemma magnitude_le_room A l : coherent A -> magnitude l <= room A l.
Proof.
  intros HA; pose proof (magnitude_nonneg l) as P.
  pose proof (proj1 (first_form_error_plus A (count l) 0 _ _ HA P P)); unfold room; lra.
Qed.

(** So every partial sum is below the room of its own terms, and that below the room of all. *)
Lemma sums_in_range A l o : coherent A -> flushes A = false -> Forall (fits A) l -> sums A l o ->
  room A l <= Omega (accumulator A) -> o <> None.
Proof.
  intros HA Hf Hl Hsum; pose proof (proj1 (proj2 HA)) as W.
  assert (Rd : forall F x x', reads A F x x' -> x' = x)
    by (intros F x x' [H|(H & _)]; [exact H|congruence]).
  assert (St : forall x o, stores A x o -> Rabs x <= Omega (accumulator A) -> o <> None).
  { intros x o' [->|(H & _)] L; [|congruence]; now rewrite rounded_some. }
  assert (B : forall l y, Forall (fits A) l -> sums A l (Some y) -> Rabs y <= room A l).
  { intros k y F T; pose proof (first_form_products A k y HA Hf F T).
    pose proof (exact_le_magnitude k); pose proof (Rabs_triang_inv y (exact k)).
    unfold room; lra. }
  revert Hl; induction Hsum as [|c c' Hc|a b a' b' o Ha Hb Ho|l l' s s' o C C' T _ T' _ Ho
      |a b a' b' l s o Hab C Ha Hb T _ Ho|t l o Ht _ IH|l l' _ IH|l l' o Hp _ IH];
    intros Hl HO; try easy.
  - rewrite (Rd _ _ _ Ha), (Rd _ _ _ Hb) in Ho; apply (St _ _ Ho).
    pose proof (magnitude_le_room A [Product a b] HA) as M.
    rewrite magnitude_cons in M; unfold magnitude in M; simpl in M; lra.
  - apply Forall_app in Hl; destruct Hl as (F & F'); apply (St _ _ Ho).
    pose proof (room_app A l l' HA); pose proof (B _ _ F T); pose proof (B _ _ F' T').
    pose proof (Rabs_triang s s'); lra.
  - inversion_clear Hl as [|? ? _ F].
    rewrite (Rd _ _ _ Ha), (Rd _ _ _ Hb) in Ho; apply (St _ _ Ho).
    pose proof (magnitude_le_room A [Product a b] HA) as M.
    rewrite magnitude_cons in M; unfold magnitude in M; simpl in M.
    pose proof (room_app A [Product a b] l HA) as K; simpl app in K; pose proof (B _ _ F T).
    pose proof (Rabs_triang (a * b) s); lra.
  - inversion_clear Hl; apply IH; [assumption|]; revert HO; unfold room.
    now rewrite count_zero, magnitude_cons, Ht, Rabs_R0, Rplus_0_l by exact Ht.
  - apply Forall_app in Hl; apply IH; [apply Hl|].
    pose proof (room_app A l l' HA); pose proof (magnitude_le_room A l' HA).
    pose proof (magnitude_nonneg l'); lra.
  - apply IH; [apply (Permutation_Forall (Permutation_sym Hp)), Hl|]; unfold room in *.
    now rewrite (count_permuted _ _ Hp), (magnitude_permuted _ _ Hp).
Qed.

(** The first form, with room: S and m may be any upper bounds. *)
Theorem first_form_bound A l o S m :
  coherent A -> flushes A = false -> Forall (fits A) l -> sums A l o ->
  magnitude l <= S -> (count l <= m)%nat ->
  S + first_form_error A m S <= Omega (accumulator A) ->
  exists y, o = Some y /\ number (accumulator A) y /\
    Rabs (y - exact l) <= first_form_error A m S.
Proof.
  intros HA Hf Hl Hsum HS Hm HO.
  assert (L : first_form_error A (count l) (magnitude l) <= first_form_error A m S).
  { pose proof (magnitude_nonneg l) as P.
    replace m with (count l + (m - count l))%nat by lia.
    replace S with (magnitude l + (S - magnitude l)) by ring.
    pose proof (first_form_error_plus A (count l) (m - count l) _ (S - magnitude l) HA P
      ltac:(lra)).
    pose proof (first_form_error_plus A (m - count l) 0 (S - magnitude l) 0 HA ltac:(lra)
      ltac:(lra)); lra. }
  pose proof (sums_in_range A l o HA Hf Hl Hsum) as H; unfold room in H.
  destruct o as [y|]; [|now elim (H ltac:(lra))].
  exists y; split; [easy|]; split; [apply (sums_near_form A l y HA Hf Hl Hsum)|].
  pose proof (first_form_products A l y HA Hf Hl Hsum); lra.
Qed.
