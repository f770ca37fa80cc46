(** * Going backwards: bounds of a linear functional through linear relations

    The values y of the nodes 0 .. N-1 of one execution are followed through deviations y - c from
    fixed centres c. Every node v has a relation with noise,

        y v - c v = sum_k A v k (y k - c k) + n v,   low v <= n v <= high v.

    An input, and any node without a relation, is a source: A v k = 0, and its noise is its
    interval ([source]). For a functional f and arbitrary coefficients g, [dual_identity] writes the
    deviation of f y as a combination of noises and of the residues of g; [backward_bound] takes
    the ends of the noise by the sign of g. Nothing is assumed of how g was computed: residues that
    are roundings, |res v| <= sum_w gamma w |g w| |A w v|, are paid by widening the noise of w by
    gamma w r w ([own_rounding]), after which g counts as exact ([backward_bound_computed]). The
    bound itself is a real number here; evaluating it downward is not part of this file.

    Main results: [backward_bound], [backward_bound_computed], [pairwise_from_backward]. Depends on:
    [Statement.v], [Format.v], [Cell.v]. *)

From Coq Require Import Reals List ZArith Lra Lia.
From Flocq Require Import Core.
From Errbound Require Import Statement Format Cell.
Import ListNotations.
Open Scope R_scope.

(** ** 1. Finite sums *)

Fixpoint sum (n : nat) (f : nat -> R) : R :=
  match n with O => 0 | S m => sum m f + f m end.

Lemma sum_eq n f g : (forall v, (v < n)%nat -> f v = g v) -> sum n f = sum n g.
Proof. induction n; simpl; intros H; [easy|]. rewrite IHn, H; auto with arith. Qed.

Lemma sum_le n f g : (forall v, (v < n)%nat -> f v <= g v) -> sum n f <= sum n g.
Proof.
  induction n; simpl; intros H; [lra|].
  apply Rplus_le_compat; [apply IHn|apply H]; auto with arith.
Qed.

Lemma sum_plus n f g : sum n (fun v => f v + g v) = sum n f + sum n g.
Proof. induction n; simpl; lra. Qed.

Lemma sum_scale n a f : sum n (fun v => a * f v) = a * sum n f.
Proof. induction n; simpl; lra. Qed.

Lemma sum_0 n f : (forall v, (v < n)%nat -> f v = 0) -> sum n f = 0.
Proof. induction n; simpl; intros H; [easy|]. rewrite IHn, H; auto with arith real. Qed.

Lemma sum_abs n f : Rabs (sum n f) <= sum n (fun v => Rabs (f v)).
Proof.
  induction n; simpl; [rewrite Rabs_R0; lra|]. eapply Rle_trans; [apply Rabs_triang|lra].
Qed.

Lemma sum_exchange n m f :
  sum n (fun v => sum m (f v)) = sum m (fun w => sum n (fun v => f v w)).
Proof.
  induction n; simpl; [now rewrite sum_0|]. rewrite IHn. now rewrite <- sum_plus.
Qed.

(** ** 2. Relations *)

(** What is left of the deviation of v once its operands' part is taken away. *)
Definition noise_of (N : nat) (A : nat -> nat -> R) (c y : nat -> R) (v : nat) : R :=
  (y v - c v) - sum N (fun k => A v k * (y k - c k)).

(** The relation of v holds in an execution, and in every execution of a set. *)
Definition related N A c low high (v : nat) (y : nat -> R) : Prop :=
  low v <= noise_of N A c y v <= high v.

(** A source: no operands, and its interval. A box of inputs is such a source. *)
Lemma source N A c low high v y : (forall k, (k < N)%nat -> A v k = 0) ->
  (related N A c low high v y <-> c v + low v <= y v <= c v + high v).
Proof.
  intros H. unfold related, noise_of. rewrite sum_0; [lra|]. intros k kN. rewrite H by easy. lra.
Qed.

(** Any slope. An operator gives y = sum_k M k (x_k - c_k) + o with o in [o_lo, o_hi], the store
    errs by h at most, and the node's interval is [lo, hi]. For each s this is a relation of v with
    the coefficients s M; slope 0 forgets the operands. *)
Theorem any_slope N M c x v y o s h lo hi o_lo o_hi : 0 <= s <= 1 ->
  lo <= x v <= hi -> Rabs (x v - y) <= h -> o_lo <= o <= o_hi ->
  y = sum N (fun k => M v k * (x k - c k)) + o ->
  related N (fun w k => s * M w k) c
    (fun v => (1 - s) * (lo - c v) + s * (o_lo - h - c v))
    (fun v => (1 - s) * (hi - c v) + s * (o_hi + h - c v)) v x.
Proof.
  intros Hs Hv Hh Ho Hy. unfold related, noise_of.
  rewrite (sum_eq _ _ (fun k => s * (M v k * (x k - c k)))) by (intros; ring).
  rewrite sum_scale. now apply staircase_general with (o := o) (y := y).
Qed.

(** Two relations of one node mix, with their noises. *)
Theorem relations_are_convex N A A' c low low' high high' s v y : 0 <= s <= 1 ->
  related N A c low high v y -> related N A' c low' high' v y ->
  related N (fun v k => (1 - s) * A v k + s * A' v k) c
    (fun v => (1 - s) * low v + s * low' v) (fun v => (1 - s) * high v + s * high' v) v y.
Proof.
  unfold related, noise_of. intros Hs H H'.
  rewrite (sum_eq _ _ (fun k => (1 - s) * (A v k * (y k - c k)) + s * (A' v k * (y k - c k))))
    by (intros; ring).
  rewrite sum_plus, !sum_scale. nra.
Qed.

(** ** 3. Centres *)

(** A relation that was made for all executions in some intervals stays valid when intervals are
    narrowed, as long as the centres are kept: fewer executions, the same inequality. The narrowed
    interval need not contain its centre. *)
Theorem centre_rule N A c low high v lo hi lo' hi' :
  (forall y, (forall k, (k < N)%nat -> lo k <= y k <= hi k) -> related N A c low high v y) ->
  (forall k, (k < N)%nat -> lo k <= lo' k /\ hi' k <= hi k) ->
  forall y, (forall k, (k < N)%nat -> lo' k <= y k <= hi' k) -> related N A c low high v y.
Proof.
  intros H sub y Hy. apply H. intros k kN. destruct (sub k kN), (Hy k kN). lra.
Qed.

(** Refinement: bounds of y, taken through the node's own rounding, narrow the node's interval. *)
Lemma refined f v y lo hi bottom above : monotone f -> v = f y -> lo <= v <= hi ->
  bottom <= y <= above -> Rmax lo (f bottom) <= v <= Rmin hi (f above).
Proof.
  intros m -> Hv Hy. destruct (monotone_cell f bottom above y m Hy).
  split; [now apply Rmax_lub|now apply Rmin_glb].
Qed.

(** To change centres the noise must move along, by what the relation makes of the changes. *)
Lemma centre_moved N A c c' low high v y : related N A c low high v y ->
  let shift v := (c v - c' v) - sum N (fun k => A v k * (c k - c' k)) in
  related N A c' (fun v => low v + shift v) (fun v => high v + shift v) v y.
Proof.
  intros H shift. unfold related in *.
  replace (noise_of N A c' y v) with (noise_of N A c y v + shift v); [lra|]. unfold noise_of, shift.
  rewrite (sum_eq N (fun k => A v k * (y k - c' k))
    (fun k => A v k * (y k - c k) + A v k * (c k - c' k))) by (intros; ring).
  rewrite sum_plus. ring.
Qed.

(** Otherwise the relation may fail. Node 1 is a copy of node 0; node 0 is narrowed from [0, 1] to
    [0, 1/2] and its centre moved from 0 to 1/4: the copy's noise is 1/4, no longer 0. *)
Theorem centre_changed :
  exists A c c' (y : nat -> R), let zero (_ : nat) := 0 in
    c' 1%nat = c 1%nat /\ 0 <= y 0%nat <= / 2 /\ c' 0%nat = / 4 /\
    related 1 A c zero zero 1 y /\ ~ related 1 A c' zero zero 1 y.
Proof.
  exists (fun _ _ => 1), (fun _ => 0), (fun v => if Nat.eqb v 0 then / 4 else 0), (fun _ => / 2).
  unfold related, noise_of. simpl. lra.
Qed.

(** ** 4. The dual identity and the bound *)

(** The residue of coefficients g at v: what the functional and the nodes that read v send to v,
    minus what was computed for v. *)
Definition residue N (A : nat -> nat -> R) (f g : nat -> R) (v : nat) : R :=
  f v + sum N (fun w => g w * A w v) - g v.

(** For arbitrary coefficients g the functional's deviation is a combination of noises and
    residues: put the definitions in, and exchange the two sums. *)
Theorem dual_identity N A c f g y :
  sum N (fun v => f v * (y v - c v)) =
    sum N (fun v => g v * noise_of N A c y v) +
    sum N (fun v => residue N A f g v * (y v - c v)).
Proof.
  set (d v := y v - c v). change (fun v => f v * (y v - c v)) with (fun v => f v * d v).
  assert (swap : sum N (fun v => sum N (fun w => g w * A w v) * d v) =
                 sum N (fun w => g w * sum N (fun k => A w k * d k))).
  { rewrite (sum_eq _ _ (fun v => sum N (fun w => g w * (A w v * d v)))).
    - rewrite sum_exchange. apply sum_eq. intros. apply sum_scale.
    - intros v _. rewrite Rmult_comm, <- sum_scale. apply sum_eq. intros. ring. }
  rewrite (sum_eq _ (fun v => g v * noise_of N A c y v)
    (fun v => g v * d v + -1 * (g v * sum N (fun k => A v k * d k))))
    by (intros; unfold noise_of, d; ring).
  rewrite (sum_eq _ (fun v => residue N A f g v * d v)
    (fun v => (f v * d v + sum N (fun w => g w * A w v) * d v) + -1 * (g v * d v)))
    by (intros; unfold residue; ring).
  rewrite !sum_plus, !sum_scale, swap. ring.
Qed.

(** The least a x over x in [lo, hi]: the sign of a picks the end. *)
Definition worst_end (a lo hi : R) : R := if Rle_bool 0 a then a * lo else a * hi.

Lemma worst_end_le a lo hi x : lo <= x <= hi -> worst_end a lo hi <= a * x.
Proof. intros H. unfold worst_end. destruct (Rle_bool_spec 0 a); nra. Qed.

Lemma worst_end_widened a lo hi e : worst_end a (lo - e) (hi + e) = worst_end a lo hi - Rabs a * e.
Proof.
  unfold worst_end. destruct (Rle_bool_spec 0 a); [rewrite Rabs_pos_eq|rewrite Rabs_left]; lra.
Qed.

(** The bound: centres, noises at their worst ends, residues times the radii. *)
Theorem backward_bound N A c f g low high rad y :
  (forall v, (v < N)%nat -> related N A c low high v y) ->
  (forall v, (v < N)%nat -> Rabs (y v - c v) <= rad v) ->
  sum N (fun v => f v * c v) + sum N (fun v => worst_end (g v) (low v) (high v)) -
    sum N (fun v => Rabs (residue N A f g v) * rad v) <= sum N (fun v => f v * y v).
Proof.
  intros rel radius.
  rewrite (sum_eq N (fun v => f v * y v) (fun v => f v * c v + f v * (y v - c v)))
    by (intros; ring).
  rewrite sum_plus, (dual_identity N A c f g y).
  assert (noises : sum N (fun v => worst_end (g v) (low v) (high v)) <=
                   sum N (fun v => g v * noise_of N A c y v))
    by (apply sum_le; intros v vN; apply worst_end_le, rel, vN).
  assert (rest : sum N (fun v => -1 * (Rabs (residue N A f g v) * rad v)) <=
                 sum N (fun v => residue N A f g v * (y v - c v))).
  { apply sum_le. intros v vN. specialize (radius v vN).
    pose proof (Rabs_pos (residue N A f g v)).
    pose proof (Rabs_le_inv _ _ (Req_le _ _ (Rabs_mult (residue N A f g v) (y v - c v)))). nra. }
  rewrite sum_scale in rest. lra.
Qed.

(** ** 5. Own rounding *)

(** One step. Coefficients computed for the operands with errors relative to the *magnitudes* of
    the transposed sum change the functional by at most gamma |g_out| r, since the forward pass has
    r >= |M| |x - c| already. *)
Theorem own_rounding_step m n M g_out g_in gamma r d :
  0 <= gamma ->
  (forall k, (k < n)%nat -> Rabs (g_in k - sum m (fun w => g_out w * M w k)) <=
                            gamma * sum m (fun w => Rabs (g_out w) * Rabs (M w k))) ->
  (forall w, (w < m)%nat -> sum n (fun k => Rabs (M w k) * Rabs (d k)) <= r w) ->
  Rabs (sum n (fun k => (g_in k - sum m (fun w => g_out w * M w k)) * d k)) <=
    gamma * sum m (fun w => Rabs (g_out w) * r w).
Proof.
  intros Hg He Hr. eapply Rle_trans; [apply sum_abs|].
  eapply Rle_trans with (sum n (fun k => gamma *
    sum m (fun w => Rabs (g_out w) * (Rabs (M w k) * Rabs (d k))))).
  - apply sum_le. intros k kn. rewrite Rabs_mult.
    rewrite (sum_eq m (fun w => Rabs (g_out w) * (Rabs (M w k) * Rabs (d k)))
      (fun w => Rabs (d k) * (Rabs (g_out w) * Rabs (M w k)))) by (intros; ring).
    rewrite sum_scale. pose proof (Rabs_pos (d k)). specialize (He k kn). nra.
  - rewrite sum_scale, sum_exchange. apply Rmult_le_compat_l; [easy|].
    apply sum_le. intros w wm. rewrite sum_scale.
    apply Rmult_le_compat_l; [apply Rabs_pos|auto].
Qed.

(** All steps at once: gamma w for the roundings on the way out of node w, t v for what underflows.
    The sum over coefficients becomes a sum over the nodes that they were computed from. *)
Theorem own_rounding N A f g gamma r t rad :
  (forall v, (v < N)%nat -> 0 <= gamma v /\ 0 <= rad v) ->
  (forall v, (v < N)%nat -> Rabs (residue N A f g v) <=
     sum N (fun w => gamma w * (Rabs (g w) * Rabs (A w v))) + t v) ->
  (forall w, (w < N)%nat -> sum N (fun v => Rabs (A w v) * rad v) <= r w) ->
  sum N (fun v => Rabs (residue N A f g v) * rad v) <=
    sum N (fun w => Rabs (g w) * (gamma w * r w)) + sum N (fun v => t v * rad v).
Proof.
  intros pos He Hr.
  eapply Rle_trans with (sum N (fun v =>
    sum N (fun w => Rabs (g w) * gamma w * (Rabs (A w v) * rad v)) + t v * rad v)).
  - apply sum_le. intros v vN.
    rewrite (sum_eq N (fun w => Rabs (g w) * gamma w * (Rabs (A w v) * rad v))
      (fun w => rad v * (gamma w * (Rabs (g w) * Rabs (A w v))))) by (intros; ring).
    rewrite sum_scale. specialize (He v vN). destruct (pos v vN). nra.
  - rewrite sum_plus, sum_exchange. apply Rplus_le_compat_r, sum_le. intros w wN.
    rewrite sum_scale, <- Rmult_assoc. apply Rmult_le_compat_l; [|auto].
    apply Rmult_le_pos; [apply Rabs_pos|apply pos, wN].
Qed.

(** The bound that is computed: each node's noise widened by gamma r, the coefficients taken as
    they are. *)
Definition lower_bound N c f g low high gamma r t rad : R :=
  sum N (fun v => f v * c v) +
  sum N (fun v => worst_end (g v) (low v - gamma v * r v) (high v + gamma v * r v)) -
  sum N (fun v => t v * rad v).

(** What a backward pass has to have done, for functional f: every coefficient is within its
    roundings of what the nodes that read v send to it. *)
Definition computed N (A : nat -> nat -> R) f g gamma t : Prop :=
  forall v, (v < N)%nat -> Rabs (residue N A f g v) <=
    sum N (fun w => gamma w * (Rabs (g w) * Rabs (A w v))) + t v.

Theorem backward_bound_computed N A c f g low high gamma r t rad y :
  (forall v, (v < N)%nat -> related N A c low high v y) ->
  (forall v, (v < N)%nat -> Rabs (y v - c v) <= rad v) ->
  (forall v, (v < N)%nat -> 0 <= gamma v) ->
  (forall w, (w < N)%nat -> sum N (fun v => Rabs (A w v) * rad v) <= r w) ->
  computed N A f g gamma t ->
  lower_bound N c f g low high gamma r t rad <= sum N (fun v => f v * y v).
Proof.
  intros rel radius pos Hr comp.
  eapply Rle_trans; [|now apply (backward_bound N A c f g low high rad y)].
  assert (own := own_rounding N A f g gamma r t rad). unfold lower_bound.
  rewrite (sum_eq N (fun v => worst_end (g v) _ _)
    (fun v => worst_end (g v) (low v) (high v) + -1 * (Rabs (g v) * (gamma v * r v))))
    by (intros; rewrite worst_end_widened; ring).
  rewrite sum_plus, sum_scale. cut (sum N (fun v => Rabs (residue N A f g v) * rad v) <=
    sum N (fun w => Rabs (g w) * (gamma w * r w)) + sum N (fun v => t v * rad v)); [lra|].
  apply own; [|exact comp|exact Hr]. intros v vN. split; [now apply pos|].
  eapply Rle_trans; [apply Rabs_pos|now apply radius].
Qed.

(** Computed coefficients have no relative error: 10^16 + 1 - 10^16, a transposed sum of numbers of
    binary64, is computed as 0. So errors are relative to magnitudes, as in [computed]. *)
Theorem cancellation :
  let big := 10000000000000000 in
  number binary64 big /\ number binary64 1 /\
  big + 1 - big = 1 /\ fl binary64 (fl binary64 (big + 1) - big) = 0.
Proof.
  intros big.
  assert (up : fl binary64 (big + 1) = big).
  { unfold fl, round, F2R, scaled_mantissa, cexp, big.
    rewrite (mag_unique radix2 _ 54) by (simpl; rewrite Rabs_pos_eq; lra). simpl.
    unfold Znearest. rewrite (Zfloor_imp 5000000000000000) by (simpl; lra).
    rewrite Rcompare_Eq by lra. simpl. lra. }
  split; [|split; [|split; [ring|rewrite up, Rminus_diag_eq by easy; apply fl_0]]].
  - replace big with (5000000000000000 * bpow radix2 1) by (unfold big; simpl; lra).
    now apply number_of_integer.
  - replace 1 with (IZR 1 * bpow radix2 0) by (simpl; ring). now apply number_of_integer.
Qed.

(** ** 6. Regions and the pairwise test *)

(** A box of inputs, nodes 0 .. I-1: the number that was computed once bounds the functional for
    every input of the box, and every execution from it. *)
Theorem regions N I A c f g low high gamma r t rad lo hi :
  (forall v k, (v < I)%nat -> (k < N)%nat -> A v k = 0) ->
  (forall v, (v < I)%nat -> low v = lo v - c v /\ high v = hi v - c v) ->
  (forall v, (v < N)%nat -> 0 <= gamma v) ->
  (forall w, (w < N)%nat -> sum N (fun v => Rabs (A w v) * rad v) <= r w) ->
  computed N A f g gamma t ->
  forall y, (forall v, (v < I)%nat -> lo v <= y v <= hi v) ->
    (forall v, (I <= v < N)%nat -> related N A c low high v y) ->
    (forall v, (v < N)%nat -> Rabs (y v - c v) <= rad v) ->
    lower_bound N c f g low high gamma r t rad <= sum N (fun v => f v * y v).
Proof.
  intros HA box pos Hr comp y Hy rel radius. apply backward_bound_computed with A; auto.
  intros v vN. destruct (Nat.lt_ge_cases v I) as [vI|vI]; [|now apply rel].
  apply source; [now intros; apply HA|]. destruct (box v vI) as [-> ->].
  specialize (Hy v vI). lra.
Qed.

(** The functional y_i - y_j. *)
Definition difference (i j v : nat) : R :=
  (if Nat.eqb v i then 1 else 0) - (if Nat.eqb v j then 1 else 0).

Lemma sum_unit N i y : (i < N)%nat -> sum N (fun v => (if Nat.eqb v i then 1 else 0) * y v) = y i.
Proof.
  induction N as [|N IH]; simpl; intros H; [lia|]. destruct (Nat.eqb_spec N i) as [->|n].
  - rewrite sum_0; [lra|]. intros v vi. rewrite (proj2 (Nat.eqb_neq v i)) by lia. lra.
  - rewrite IH by lia. lra.
Qed.

Lemma sum_difference N i j y : (i < N)%nat -> (j < N)%nat ->
  sum N (fun v => difference i j v * y v) = y i - y j.
Proof.
  intros iN jN. rewrite (sum_eq _ _ (fun v => (if Nat.eqb v i then 1 else 0) * y v +
    -1 * ((if Nat.eqb v j then 1 else 0) * y v))) by (intros; unfold difference; ring).
  rewrite sum_plus, sum_scale, !sum_unit by easy. ring.
Qed.

(** The j-th output is the value at the j-th index of the outputs. *)
Lemma at_output ys outs j : (j < length outs)%nat ->
  nth j (map (at_index ys) outs) 0 = at_index ys (nth j outs 0%nat).
Proof.
  intros J. rewrite nth_indep with (d' := at_index ys 0) by now rewrite map_length. apply map_nth.
Qed.

(** If the backward bound of z_i - z_j is positive for every other class j, class i is the top in
    every execution that keeps to the relations. Each pair has coefficients of its own. *)
Theorem pairwise_from_backward N A c low high gamma r rad ys outs i
    (g t : nat -> nat -> R) :
  let y := at_index ys in
  let z v := nth v outs 0%nat in
  (forall v, (v < N)%nat -> related N A c low high v y) ->
  (forall v, (v < N)%nat -> Rabs (y v - c v) <= rad v) ->
  (forall v, (v < N)%nat -> 0 <= gamma v) ->
  (forall w, (w < N)%nat -> sum N (fun v => Rabs (A w v) * rad v) <= r w) ->
  Forall (fun v => (v < N)%nat) outs -> (i < length outs)%nat ->
  (forall j, (j < length outs)%nat -> j <> i ->
     computed N A (difference (z i) (z j)) (g j) gamma (t j) /\
     0 < lower_bound N c (difference (z i) (z j)) (g j) low high gamma r (t j) rad) ->
  top i (map y outs).
Proof.
  intros y z rel radius pos Hr Hout il H. rewrite Forall_forall in Hout.
  split; unfold y; rewrite map_length; [exact il|]. intros j jl ji. rewrite !at_output by easy.
  change (y (z j) < y (z i)).
  destruct (H j jl ji) as [comp P].
  pose proof (backward_bound_computed N A c (difference (z i) (z j)) (g j) low high gamma r (t j)
    rad y rel radius pos Hr comp) as B.
  rewrite sum_difference in B by (apply Hout, nth_In; easy). lra.
Qed.
