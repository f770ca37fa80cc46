(** * Sums in any order

    An execution of a sum ([sums], [Statement.v]) is a tree of n additions over terms that are
    products or numbers: any bracketing, any permutation, fused multiply-add or not. An addition
    with exact result x errs by u ufp(x) + f at most (to nearest; f: what is flushed), a leaf by
    [leaf]. Notation: S = [magnitude], s = |[exact]|, E = [leaves], Q = (S + s) / 2, which is the
    larger one of the sum of the positive terms and that of the magnitudes of the negative terms.

    Main result, [sums_bound]: if n u < 1 and [reach] = (Q + E + n f) / (1 - n u) is in range, then
    every execution stays in range and errs by [sum_error] = E + n (u ufp(reach) + f) at most (the
    binade bound). Depends on: [Format.v] (errors of one rounding). More bounds: [Orders.v]. *)

From Coq Require Import Reals List Permutation ZArith Lra Lia.
From Flocq Require Import Core.
From Errbound Require Import Statement Format.
Import ListNotations.
Open Scope R_scope.

Definition exact (l : list term) : R := total (map value l).
Definition magnitude (l : list term) : R := total (map (fun t => Rabs (value t)) l).
Definition leaf (A : arithmetic) (t : term) : R :=
  match t with
  | Product a b =>
      if Req_bool (a * b) 0 then 0
      else product_relative A * Rabs (a * b) + product_absolute A +
           read_error A a (Rabs b)
  | Number c => if Req_bool c 0 then 0 else addition_absolute A
  end.
Definition leaves (A : arithmetic) (l : list term) : R := total (map (leaf A) l).
Definition fits (A : arithmetic) (t : term) : Prop :=
  match t with
  | Product a b => number (storage A) a /\ number (storage A) b
  | Number c => number (accumulator A) c
  end.

(** ** 1. Sums of lists *)

Lemma total_app l l' : total (l ++ l') = total l + total l'.
Proof. induction l as [|x l IH]; simpl; [|rewrite IH]; ring. Qed.

Lemma total_permuted l l' : Permutation l l' -> total l = total l'.
Proof. induction 1; simpl; lra. Qed.

Lemma total_nonneg {T} (g : T -> R) l : (forall t, 0 <= g t) -> 0 <= total (map g l).
Proof. intros H; induction l as [|t l IH]; simpl; [lra|specialize (H t); lra]. Qed.

Lemma exact_app l l' : exact (l ++ l') = exact l + exact l'.
Proof. unfold exact; rewrite map_app; apply total_app. Qed.

Lemma magnitude_app l l' : magnitude (l ++ l') = magnitude l + magnitude l'.
Proof. unfold magnitude; rewrite map_app; apply total_app. Qed.

Lemma leaves_app A l l' : leaves A (l ++ l') = leaves A l + leaves A l'.
Proof. unfold leaves; rewrite map_app; apply total_app. Qed.

Lemma exact_cons t l : exact (t :: l) = value t + exact l.
Proof. reflexivity. Qed.

Lemma magnitude_cons t l : magnitude (t :: l) = Rabs (value t) + magnitude l.
Proof. reflexivity. Qed.

Lemma leaves_cons A t l : leaves A (t :: l) = leaf A t + leaves A l.
Proof. reflexivity. Qed.

Lemma exact_permuted l l' : Permutation l l' -> exact l = exact l'.
Proof. intros H; apply total_permuted, Permutation_map, H. Qed.

Lemma magnitude_permuted l l' : Permutation l l' -> magnitude l = magnitude l'.
Proof. intros H; apply total_permuted, Permutation_map, H. Qed.

Lemma leaves_permuted A l l' : Permutation l l' -> leaves A l = leaves A l'.
Proof. intros H; apply total_permuted, Permutation_map, H. Qed.

Lemma count_app l l' : count (l ++ l') = (count l + count l')%nat.
Proof. unfold count; rewrite filter_app; apply app_length. Qed.

Lemma count_permuted l l' : Permutation l l' -> count l = count l'.
Proof. unfold count; induction 1; simpl; repeat destruct (negb _); simpl; congruence. Qed.

Lemma count_zero t l : value t = 0 -> count (t :: l) = count l.
Proof. intros H; unfold count; simpl; rewrite H, Req_bool_true by reflexivity; reflexivity. Qed.

Lemma count_nonzero t l : value t <> 0 -> count (t :: l) = S (count l).
Proof. intros H; unfold count; simpl; rewrite Req_bool_false by exact H; reflexivity. Qed.

(** A tree of two trees has one addition more than both together. *)
Lemma additions_app l l' : count l <> O -> count l' <> O ->
  INR (count (l ++ l') - 1) = INR (count l - 1) + INR (count l' - 1) + 1.
Proof. intros H H'; rewrite count_app, <- plus_INR, <- S_INR; f_equal; lia. Qed.

Lemma exact_le_magnitude l : Rabs (exact l) <= magnitude l.
Proof.
  unfold exact, magnitude; induction l as [|t l IH]; simpl; [rewrite Rabs_R0; lra|].
  pose proof (Rabs_triang (value t) (total (map value l))); lra.
Qed.

(** Q: no exact sum of some of the terms is larger. *)
Definition operand (l : list term) : R := (magnitude l + Rabs (exact l)) / 2.

Lemma exact_le_operand l : Rabs (exact l) <= operand l.
Proof. unfold operand; pose proof (exact_le_magnitude l); lra. Qed.

(** Q grows with the list: the exact sum loses no more than the magnitude gains. *)
Lemma operand_app l l' : operand l <= operand (l ++ l').
Proof.
  unfold operand; rewrite exact_app, magnitude_app.
  pose proof (exact_le_magnitude l').
  pose proof (Rabs_triang (exact l + exact l') (- exact l')) as T.
  replace (exact l + exact l' + - exact l') with (exact l) in T by ring.
  rewrite Rabs_Ropp in T; lra.
Qed.

Lemma operand_permuted l l' : Permutation l l' -> operand l = operand l'.
Proof. intros H; unfold operand; now rewrite (magnitude_permuted _ _ H), (exact_permuted _ _ H).
Qed.

Lemma operand_app_r l l' : operand l' <= operand (l ++ l').
Proof. rewrite (operand_permuted _ (l' ++ l) (Permutation_app_comm _ _)); apply operand_app. Qed.

(** ** 2. Signs of the constants *)

Lemma unit_roundoff_pos F : 0 < unit_roundoff F.
Proof. apply bpow_gt_0. Qed.

Lemma addition_absolute_nonneg A : 0 <= addition_absolute A.
Proof. unfold addition_absolute; destruct (flushes A); [apply bpow_ge_0|lra]. Qed.

Lemma product_relative_nonneg A : 0 <= product_relative A.
Proof. unfold product_relative; destruct (_ <=? _)%Z; [lra|apply bpow_ge_0]. Qed.

Lemma read_error_nonneg A a x : 0 <= x -> 0 <= read_error A a x.
Proof.
  intros Hx; unfold read_error; destruct (flushes A); [|lra].
  apply Rmult_le_pos; [apply bpow_ge_0|].
  pose proof (Rabs_pos a); destruct (Rlt_bool _ _); lra.
Qed.

(** What underflows in a product or in a fused operation is part of the leaf. *)
Lemma underflow_le A : coherent A ->
  0 <= (if (quantum (accumulator A) <=? 2 * quantum (storage A))%Z then 0
        else eta (accumulator A)) <= product_absolute A.
Proof.
  intros (_ & (Hp & _) & _).
  assert (0 <= eta (accumulator A)) by apply bpow_ge_0.
  assert (eta (accumulator A) <= smallest_normal (accumulator A)) by (apply bpow_le; lia).
  unfold product_absolute; destruct (flushes A), (_ <=? _)%Z; lra.
Qed.

Lemma leaf_nonneg A t : coherent A -> 0 <= leaf A t.
Proof.
  intros HA; destruct t as [a b|c]; simpl; destruct (Req_bool _ _); try lra;
    [|apply addition_absolute_nonneg].
  pose proof (underflow_le A HA).
  pose proof (Rmult_le_pos _ _ (product_relative_nonneg A) (Rabs_pos (a * b))).
  pose proof (read_error_nonneg A a (Rabs b) (Rabs_pos b)); lra.
Qed.

Lemma leaves_nonneg A l : coherent A -> 0 <= leaves A l.
Proof. intros HA; apply total_nonneg; intros t; apply leaf_nonneg, HA. Qed.

Lemma leaf_zero A t : value t = 0 -> leaf A t = 0.
Proof. destruct t; simpl; intros H; rewrite H, Req_bool_true; reflexivity. Qed.

(** ** 3. One operation *)

(** What is read is a number, and not larger in magnitude. *)
Lemma reads_number A F x x' : number F x -> reads A F x x' ->
  number F x' /\ Rabs x' <= Rabs x.
Proof.
  intros Hx [-> | (_ & _ & ->)]; [split; [exact Hx|lra]|].
  split; [apply number_0|rewrite Rabs_R0; apply Rabs_pos].
Qed.

(** A factor that is flushed is below 2^emin: the product loses that times the other factor. *)
Lemma reads_product A a b a' b' : reads A (storage A) a a' -> reads A (storage A) b b' ->
  Rabs (a' * b' - a * b) <= read_error A a (Rabs b).
Proof.
  intros Ha Hb; pose proof (read_error_nonneg A a (Rabs b) (Rabs_pos b)) as P.
  pose proof (bpow_ge_0 radix2 (quantum (storage A) + precision (storage A) - 1)) as T.
  fold (smallest_normal (storage A)) in T.
  pose proof (Rabs_pos a); pose proof (Rabs_pos b); revert P; unfold read_error.
  destruct Ha as [-> | (Hf & Hx & ->)]; [destruct Hb as [-> | (Hf & Hy & ->)]|].
  - rewrite Rminus_diag_eq, Rabs_R0 by reflexivity; auto.
  - rewrite Hf, Rmult_0_r, Rminus_0_l, Rabs_Ropp, Rabs_mult; intros _.
    destruct (Rlt_bool _ _); nra.
  - rewrite Hf, Rlt_bool_true, Rmult_0_l, Rminus_0_l, Rabs_Ropp, Rabs_mult by exact Hx; intros _.
    nra.
Qed.

(** A number that is read errs by its leaf. *)
Lemma reads_leaf A c c' : reads A (accumulator A) c c' -> Rabs (c' - c) <= leaf A (Number c).
Proof.
  intros H; simpl; pose proof (addition_absolute_nonneg A) as P.
  destruct (Req_bool_spec c 0) as [->|_], H as [-> | (Hf & Hc & ->)];
    rewrite ?Rminus_diag_eq, ?Rabs_R0 by reflexivity; try lra.
  unfold addition_absolute; rewrite Hf, Rminus_0_l, Rabs_Ropp; lra.
Qed.

(** A result in range is rounded, or flushed if it is below 2^emin. *)
Lemma stores_some A x o : coherent A -> Rabs x <= Omega (accumulator A) -> stores A x o ->
  exists y, o = Some y /\ number (accumulator A) y /\
    (y = fl (accumulator A) x \/
     flushes A = true /\ Rabs x < smallest_normal (accumulator A) /\ y = 0).
Proof.
  intros (_ & HF & _) Hx [-> | (Hf & Hs & ->)].
  - exists (fl (accumulator A) x); rewrite rounded_some by assumption.
    split; [reflexivity|split; [apply fl_number, HF|left; reflexivity]].
  - exists 0; repeat split; [apply number_0|right; repeat split; assumption].
Qed.

(** An addition whose exact result x is at most R in magnitude; [e]: its underflow, if fused. *)
Lemma stores_addition A x e R o : coherent A -> Rabs x <= R -> R <= Omega (accumulator A) ->
  0 <= e -> stores A x o ->
  Rabs (fl (accumulator A) x - x) <= unit_roundoff (accumulator A) * ufp x + e ->
  exists y, o = Some y /\ number (accumulator A) y /\
    Rabs (y - x) <= unit_roundoff (accumulator A) * ufp R + addition_absolute A + e.
Proof.
  intros HA Hx HR He Ho H.
  destruct (stores_some A x o HA ltac:(lra) Ho) as (y & -> & Hy & K).
  exists y; split; [reflexivity|split; [exact Hy|]].
  pose proof (unit_roundoff_pos (accumulator A)); pose proof (addition_absolute_nonneg A).
  destruct K as [-> | (Hf & K & ->)].
  - assert (ufp x <= ufp R) by (apply ufp_monotone; rewrite (Rabs_pos_eq R);
      pose proof (Rabs_pos x); lra).
    nra.
  - unfold addition_absolute in *; rewrite Hf, Rminus_0_l, Rabs_Ropp in *.
    pose proof (ufp_nonneg R); nra.
Qed.

(** A product errs by its leaf: operands flushed, then rounded or flushed. *)
Lemma stores_product A a b a' b' o : coherent A -> fits A (Product a b) ->
  Rabs (a * b) <= Omega (accumulator A) ->
  reads A (storage A) a a' -> reads A (storage A) b b' -> stores A (a' * b') o ->
  exists y, o = Some y /\ number (accumulator A) y /\ Rabs (y - a * b) <= leaf A (Product a b).
Proof.
  intros HA (Na & Nb) Hab Ha Hb Ho.
  destruct (reads_number A _ a a' Na Ha) as (Na' & La), (reads_number A _ b b' Nb Hb) as (Nb' & Lb).
  assert (L : Rabs (a' * b') <= Rabs (a * b)).
  { rewrite !Rabs_mult; apply Rmult_le_compat; try apply Rabs_pos; assumption. }
  destruct (stores_some A (a' * b') o HA ltac:(lra) Ho) as (y & -> & Hy & K).
  exists y; split; [reflexivity|split; [exact Hy|]].
  simpl; destruct (Req_bool_spec (a * b) 0) as [Z|_].
  { rewrite Z in *; rewrite Rabs_R0 in L.
    assert (Z' : a' * b' = 0) by (apply Rabs_eq_R0; pose proof (Rabs_pos (a' * b')); lra).
    destruct K as [-> | (_ & _ & ->)]; rewrite ?Z', ?fl_0, Rminus_0_r, Rabs_R0; lra. }
  replace (y - a * b) with (y - a' * b' + (a' * b' - a * b)) by ring.
  eapply Rle_trans; [apply Rabs_triang|].
  pose proof (reads_product A a b a' b' Ha Hb).
  pose proof (underflow_le A HA); pose proof (product_relative_nonneg A).
  pose proof (Rabs_pos (a * b)).
  destruct K as [-> | (Hf & K & ->)].
  - pose proof (product_error A a' b' HA Na' Nb'); nra.
  - unfold product_absolute in *; rewrite Hf, Rminus_0_l, Rabs_Ropp in *; nra.
Qed.

(** ** 4. Every execution *)

(** [reach] is Q and as much as n additions err by whose exact results are no larger. *)
Lemma reach_spec A n S s E : n * unit_roundoff (accumulator A) < 1 ->
  reach A n S s E =
    (S + s) / 2 + E + n * (unit_roundoff (accumulator A) * reach A n S s E + addition_absolute A).
Proof. intros H; unfold reach; field; lra. Qed.

Lemma reach_nonneg A n S s E :
  0 <= S -> 0 <= s -> 0 <= E -> 0 <= n -> n * unit_roundoff (accumulator A) < 1 ->
  0 <= reach A n S s E.
Proof.
  intros; unfold reach; apply Rmult_le_pos; [|apply Rlt_le, Rinv_0_lt_compat; lra].
  pose proof (Rmult_le_pos n _ ltac:(eassumption) (addition_absolute_nonneg A)); lra.
Qed.

(** By induction on the execution. The exact result of an addition is an exact sum of some terms,
    at most Q, and the errors made below it: it does not exceed R. So each addition errs by at
    most g = u ufp(R) + f, and no result leaves the range. *)
Lemma sums_within A l o Q E n R :
  let g := unit_roundoff (accumulator A) * ufp R + addition_absolute A in
  coherent A -> sums A l o -> Q + E + n * g <= R -> R <= Omega (accumulator A) ->
  Forall (fits A) l -> operand l <= Q -> leaves A l <= E -> INR (count l - 1) <= n ->
  exists y, o = Some y /\ number (accumulator A) y /\
    Rabs (y - exact l) <= leaves A l + INR (count l - 1) * g.
Proof.
  intros g HA Hsum HR HO.
  assert (Hg : 0 <= g).
  { pose proof (unit_roundoff_pos (accumulator A)); pose proof (ufp_nonneg R).
    pose proof (addition_absolute_nonneg A); unfold g; nra. }
  induction Hsum as [|c c' Hc|a b a' b' o Ha Hb Ho|l l' s s' o C C' _ IH _ IH' Ho
      |a b a' b' l s o Hab C Ha Hb _ IH Ho|t l o Ht _ IH|l l' _ IH|l l' o Hp _ IH];
    intros Hfit HQ HE Hn.
  - exists 0; unfold exact, leaves; simpl; rewrite Rminus_0_r, Rabs_R0.
    repeat split; [apply number_0|lra].
  - exists c'; inversion_clear Hfit as [|? ? N _].
    destruct (reads_number A _ c c' N Hc) as (N' & _); pose proof (reads_leaf A c c' Hc) as D.
    pose proof (Rmult_le_pos _ g (pos_INR (count [Number c] - 1)) Hg).
    repeat split; [exact N'|].
    rewrite exact_cons, leaves_cons; unfold exact, leaves; simpl total; simpl value.
    rewrite !Rplus_0_r; lra.
  - inversion_clear Hfit as [|? ? Fab _].
    pose proof (exact_le_operand [Product a b]) as L.
    pose proof (leaves_nonneg A [Product a b] HA).
    pose proof (Rmult_le_compat_r g _ _ Hg Hn).
    pose proof (Rmult_le_pos _ g (pos_INR (count [Product a b] - 1)) Hg) as K.
    assert (X : exact [Product a b] = a * b) by (unfold exact; simpl; ring).
    assert (V : leaves A [Product a b] = leaf A (Product a b)) by (unfold leaves; simpl; ring).
    rewrite X, V in *.
    destruct (stores_product A a b a' b' o HA Fab ltac:(lra) Ha Hb Ho) as (y & -> & Hy & D).
    exists y; repeat split; [exact Hy|lra].
  - apply Forall_app in Hfit; destruct Hfit as (F & F').
    pose proof (operand_app l l'); pose proof (operand_app_r l l').
    pose proof (exact_le_operand (l ++ l')) as L.
    rewrite exact_app in *; rewrite leaves_app, (additions_app l l' C C') in *.
    pose proof (leaves_nonneg A l HA); pose proof (leaves_nonneg A l' HA).
    pose proof (pos_INR (count l - 1)); pose proof (pos_INR (count l' - 1)).
    destruct IH as (? & [= <-] & N & D); try lra; [assumption|].
    destruct IH' as (? & [= <-] & N' & D'); try lra; [assumption|].
    pose proof (Rmult_le_compat_r g _ _ Hg Hn).
    pose proof (Rabs_triang (s - exact l) (s' - exact l')) as T.
    destruct (stores_addition A (s + s') 0 R o HA) as (y & -> & Hy & D'');
      [|lra|lra|exact Ho| |].
    + replace (s + s') with (exact l + exact l' + (s - exact l + (s' - exact l'))) by ring.
      eapply Rle_trans; [apply Rabs_triang|]; lra.
    + pose proof (fl_sum_error (accumulator A) s s' (proj1 (proj2 HA)) N N'); lra.
    + exists y; repeat split; [exact Hy|].
      replace (y - (exact l + exact l'))
        with (y - (s + s') + (s - exact l + (s' - exact l'))) by ring.
      eapply Rle_trans; [apply Rabs_triang|]; fold g in D''; lra.
  - inversion_clear Hfit as [|? ? Fab F]; destruct Fab as (Na & Nb).
    destruct (reads_number A _ a a' Na Ha) as (Na' & _), (reads_number A _ b b' Nb Hb) as (Nb' & _).
    pose proof (reads_product A a b a' b' Ha Hb) as P.
    pose proof (operand_app_r [Product a b] l) as Q'; simpl app in Q'.
    pose proof (exact_le_operand (Product a b :: l)) as L.
    assert (V : leaf A (Product a b) = product_relative A * Rabs (a * b) + product_absolute A +
      read_error A a (Rabs b)) by (simpl; rewrite Req_bool_false by exact Hab; ring).
    pose proof (Rmult_le_pos _ _ (product_relative_nonneg A) (Rabs_pos (a * b))).
    pose proof (underflow_le A HA) as U.
    pose proof (leaves_nonneg A l HA); pose proof (pos_INR (count l - 1)).
    pose proof (Rmult_le_compat_r g _ _ Hg Hn) as Hng.
    assert (I : INR (count (Product a b :: l) - 1) = INR (count l - 1) + 1).
    { rewrite count_nonzero, <- S_INR by exact Hab; f_equal; lia. }
    rewrite exact_cons, leaves_cons, V, I in *; simpl value in *.
    assert (0 <= read_error A a (Rabs b))
      by (eapply Rle_trans; [apply Rabs_pos|exact P]).
    destruct IH as (? & [= <-] & N & D); try lra; [assumption|].
    pose proof (fused_error A a' b' s HA Na' Nb' N) as D'.
    set (e := if (_ <=? _)%Z then 0 else _) in *.
    pose proof (Rabs_triang (a' * b' - a * b) (s - exact l)) as T.
    destruct (stores_addition A (a' * b' + s) e R o HA) as (y & -> & Hy & D'');
      [|lra|lra|exact Ho|exact D'|].
    + replace (a' * b' + s) with (a * b + exact l + (a' * b' - a * b + (s - exact l))) by ring.
      eapply Rle_trans; [apply Rabs_triang|]; lra.
    + exists y; repeat split; [exact Hy|].
      replace (y - (a * b + exact l))
        with (y - (a' * b' + s) + (a' * b' - a * b + (s - exact l))) by ring.
      eapply Rle_trans; [apply Rabs_triang|]; fold g in D''; lra.
  - inversion_clear Hfit.
    assert (X : exact (t :: l) = exact l) by (rewrite exact_cons, Ht; ring).
    assert (M : operand (t :: l) = operand l)
      by (unfold operand; rewrite X, magnitude_cons, Ht, Rabs_R0, Rplus_0_l; reflexivity).
    assert (V : leaves A (t :: l) = leaves A l)
      by (rewrite leaves_cons, leaf_zero by exact Ht; ring).
    rewrite X, V, M, count_zero in * by exact Ht; apply IH; assumption.
  - exfalso; apply Forall_app in Hfit; destruct Hfit as (F & F').
    pose proof (operand_app l l').
    pose proof (leaves_nonneg A l' HA).
    rewrite leaves_app in HE.
    assert (INR (count l - 1) <= INR (count (l ++ l') - 1)) by
      (apply le_INR; rewrite count_app; lia).
    destruct IH as (? & [=] & _); [assumption|lra..].
  - rewrite <- (exact_permuted _ _ Hp), <- (leaves_permuted A _ _ Hp),
      <- (count_permuted _ _ Hp), <- (operand_permuted _ _ Hp) in *.
    apply IH; try assumption.
    apply (Permutation_Forall (Permutation_sym Hp)), Hfit.
Qed.

(** The binade bound, with room: S, s, E, n may be any upper bounds. *)
Theorem sums_bound A l o S s E n :
  coherent A -> Forall (fits A) l -> sums A l o ->
  magnitude l <= S -> Rabs (exact l) <= s -> leaves A l <= E -> INR (count l - 1) <= n ->
  n * unit_roundoff (accumulator A) < 1 ->
  reach A n S s E <= Omega (accumulator A) ->
  exists y, o = Some y /\ number (accumulator A) y /\ Rabs (y - exact l) <= sum_error A n S s E.
Proof.
  intros HA Hfit Hsum HS Hs HE Hn Hk HO.
  pose proof (reach_spec A n S s E Hk) as HR.
  pose proof (leaves_nonneg A l HA); pose proof (exact_le_magnitude l).
  pose proof (Rabs_pos (exact l)); pose proof (pos_INR (count l - 1)).
  pose proof (unit_roundoff_pos (accumulator A)); pose proof (addition_absolute_nonneg A).
  assert (P : 0 <= reach A n S s E) by (apply reach_nonneg; lra).
  assert (ufp (reach A n S s E) <= reach A n S s E)
    by (rewrite <- (Rabs_pos_eq _ P) at 2; apply ufp_le).
  assert (Rge : (S + s) / 2 + E + n * (unit_roundoff (accumulator A) * ufp (reach A n S s E) +
    addition_absolute A) <= reach A n S s E).
  { rewrite HR at 2; apply Rplus_le_compat_l, Rmult_le_compat_l; [lra|].
    apply Rplus_le_compat_r, Rmult_le_compat_l; lra. }
  destruct (sums_within A l o _ E n _ HA Hsum Rge HO Hfit) as (y & -> & Hy & D);
    [unfold operand; lra|lra|lra|].
  exists y; repeat split; [exact Hy|].
  eapply Rle_trans; [exact D|]; unfold sum_error.
  apply Rplus_le_compat; [lra|]; apply Rmult_le_compat_r; [|lra].
  pose proof (ufp_nonneg (reach A n S s E)); nra.
Qed.
