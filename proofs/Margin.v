(** * When both models have one and the same answer

    The executions of M32 and of M16 are two sets A, B of output vectors of one length. [classic]:
    if M32's margin is more than twice the distance, one class is the top of every vector of A and
    of B. [pairwise]: the same from lower bounds of the differences b_i - b_j, which is never worse
    ([classic_implies_pairwise], [classic_implies_pairwise_boxes]). [first_index]: where argmax
    takes the first of equal outputs, a tie with a later class changes nothing;
    [first_index_exact]: on intervals this test is exact, and its class is the only candidate.
    Two witnesses show why the inequalities are strict and why the certificate is about the vector
    whose argmax is taken: [ties_break_classic], [softmax_tie]. Depends on: [Statement.v]. *)

From Coq Require Import Reals List Permutation ZArith Lra Lia.
From Flocq Require Import Core.
From Errbound Require Import Statement.
Import ListNotations.
Open Scope R_scope.

(** ** 1. Classic and pairwise form *)

(** The margin of a vector: its largest entry minus the second largest. *)
Definition margin (a : list R) (m : R) : Prop :=
  exists x y rest, Permutation a (x :: y :: rest) /\ y <= x /\ Forall (fun z => z <= y) rest /\
    m = x - y.

(** A set of vectors of length k; G bounds their margins from below (Gamma, the infimum, is the
    largest such G); d bounds all distances to vectors of B (delta, the supremum, is the least). *)
Definition vectors (k : nat) (A : list R -> Prop) : Prop := forall a, A a -> length a = k.

Definition margin_at_least (G : R) (A : list R -> Prop) : Prop :=
  forall a m, A a -> margin a m -> G <= m.

Definition distance_at_most (d : R) (k : nat) (A B : list R -> Prop) : Prop :=
  forall a b i, A a -> B b -> (i < k)%nat -> Rabs (nth i a 0 - nth i b 0) <= d.

(** A vector of two entries or more has a margin: insert the entries one by one. *)
Lemma margin_exists a : (2 <= length a)%nat -> exists m, margin a m.
Proof.
  destruct a as [|p [|q a]]; simpl; intros H; try lia. clear H.
  enough (exists x y rest, Permutation (p :: q :: a) (x :: y :: rest) /\ y <= x /\
            Forall (fun z => z <= y) rest) as (x & y & rest & H)
    by (exists (x - y), x, y, rest; tauto).
  induction a as [|z a (x & y & rest & P & yx & low)].
  - destruct (Rle_or_lt q p); [exists p, q, [] | exists q, p, []]; repeat split; auto; try lra.
    apply perm_swap.
  - assert (Q : Permutation (p :: q :: z :: a) (z :: x :: y :: rest)).
    { transitivity (z :: p :: q :: a); [|now constructor].
      transitivity (p :: z :: q :: a); constructor. constructor. }
    assert (lower : forall t, y <= t -> Forall (fun z => z <= t) (y :: rest)).
    { intros t yt. constructor; [exact yt|]. eapply Forall_impl; [|exact low]. simpl. intros; lra. }
    destruct (Rle_or_lt x z); [|destruct (Rle_or_lt y z)].
    + exists z, x, (y :: rest). auto.
    + exists x, z, (y :: rest). repeat split; auto; [|lra].
      transitivity (z :: x :: y :: rest); [exact Q|constructor].
    + exists x, y, (z :: rest). repeat split; auto.
      * transitivity (z :: x :: y :: rest); [exact Q|].
        transitivity (x :: z :: y :: rest); [constructor|]. constructor. constructor.
      * constructor; [lra|exact low].
Qed.

(** The largest entry leads every other one by the margin at least. *)
Lemma margin_leads a m : margin a m -> exists i, (i < length a)%nat /\
  forall j, (j < length a)%nat -> j <> i -> m <= nth i a 0 - nth j a 0.
Proof.
  intros (x & y & rest & P & yx & low & ->).
  destruct (in_split x a) as (l & r & ->).
  { apply (Permutation_in x (Permutation_sym P)). now left. }
  exists (length l). rewrite app_length. simpl. split; [lia|].
  rewrite app_nth2, Nat.sub_diag by lia. simpl. intros j jn ji.
  enough (nth j (l ++ x :: r) 0 <= y) by lra.
  assert (other : In (nth j (l ++ x :: r) 0) (l ++ r)).
  { apply in_or_app. destruct (Nat.lt_ge_cases j (length l)).
    - left. rewrite app_nth1 by easy. now apply nth_In.
    - right. rewrite app_nth2 by easy. destruct (j - length l)%nat as [|n] eqn:e; [lia|].
      apply (nth_In r 0). lia. }
  symmetry in P. apply Permutation_cons_app_inv in P. symmetry in P.
  apply (Permutation_in _ P) in other. destruct other as [<-|other]; [lra|].
  now apply (proj1 (Forall_forall _ _) low).
Qed.

(** A lead shrinks by 2 d at most from a to b: b_i - b_j >= (a_i - d) - (a_j + d). *)
Lemma lead_moves d k A B a b i j : distance_at_most d k A B -> A a -> B b ->
  (i < k)%nat -> (j < k)%nat ->
  nth i a 0 - nth j a 0 - 2 * d <= nth i b 0 - nth j b 0.
Proof.
  intros D Aa Bb ik jk. pose proof (Rabs_le_inv _ _ (D a b i Aa Bb ik)).
  pose proof (Rabs_le_inv _ _ (D a b j Aa Bb jk)). lra.
Qed.

(** The classic premises bound all differences of M16 from below, for one and the same class: what
    the classic form proves, the pairwise form proves, with a bound that is at least G - 2 d. *)
Theorem classic_implies_pairwise k A B G d a : (2 <= k)%nat -> vectors k A ->
  margin_at_least G A -> distance_at_most d k A B -> A a ->
  exists i, (i < k)%nat /\ forall j, (j < k)%nat -> j <> i ->
    G <= nth i a 0 - nth j a 0 /\ forall b, B b -> G - 2 * d <= nth i b 0 - nth j b 0.
Proof.
  intros k2 LA MG D Aa. specialize (LA a Aa).
  destruct (margin_exists a) as [m Hm]; [lia|]. specialize (MG a m Aa Hm).
  destruct (margin_leads a m Hm) as (i & ik & lead). rewrite LA in *.
  exists i. split; [exact ik|]. intros j jk ji. specialize (lead j jk ji).
  split; [lra|]. intros b Bb. pose proof (lead_moves d k A B a b i j D Aa Bb ik jk). lra.
Qed.

(** Classic form. Both sets must have an element: without one of M16, d says nothing, and two
    executions of M32 may differ. Every a has a class in common with one and the same b. *)
Theorem classic k A B G d : (2 <= k)%nat -> vectors k A -> vectors k B ->
  (exists a, A a) -> (exists b, B b) ->
  margin_at_least G A -> distance_at_most d k A B -> 2 * d < G ->
  exists i, (forall a, A a -> top i a) /\ (forall b, B b -> top i b).
Proof.
  intros k2 LA LB [a0 Aa0] [b0 Bb0] MG D gap.
  assert (0 <= d) by (eapply Rle_trans; [apply Rabs_pos|apply (D a0 b0 0%nat); auto; lia]).
  destruct (classic_implies_pairwise k A B G d a0 k2 LA MG D Aa0) as (i & ik & lead).
  exists i. split.
  - intros a Aa. destruct (classic_implies_pairwise k A B G d a k2 LA MG D Aa) as (i' & ik' & H').
    assert (i' = i) as ->.
    { destruct (Nat.eq_dec i' i) as [e|n]; [exact e|].
      pose proof (proj2 (lead i' ik' n) b0 Bb0).
      pose proof (proj2 (H' i ik (not_eq_sym n)) b0 Bb0). lra. }
    split; rewrite (LA a Aa); [exact ik|]. intros j jk ji. pose proof (proj1 (H' j jk ji)). lra.
  - intros b Bb. split; rewrite (LB b Bb); [exact ik|].
    intros j jk ji. pose proof (proj2 (lead j jk ji) b Bb). lra.
Qed.

(** Pairwise form: a positive lower bound of every difference b_i - b_j. *)
Theorem pairwise k A B i (low : nat -> R) : vectors k B -> (i < k)%nat ->
  (forall a, A a -> top i a) ->
  (forall b j, B b -> (j < k)%nat -> j <> i -> low j <= nth i b 0 - nth j b 0) ->
  (forall j, (j < k)%nat -> j <> i -> 0 < low j) ->
  (forall a, A a -> top i a) /\ (forall b, B b -> top i b).
Proof.
  intros LB ik TA L P. split; [exact TA|]. intros b Bb.
  split; rewrite (LB b Bb); [exact ik|]. intros j jk ji.
  specialize (L b j Bb jk ji). specialize (P j jk ji). lra.
Qed.

(** ** 2. The same of enclosures *)

Definition nonempty (Bs : list interval) : Prop :=
  forall j, (j < length Bs)%nat -> fst (nth j Bs (0, 0)) <= snd (nth j Bs (0, 0)).

(** Whatever the classic form decides from two enclosures, [leads] decides: the margin and the
    distances are those of the intervals. *)
Theorem classic_implies_pairwise_boxes i (X Y : list interval) d :
  length X = length Y -> (i < length X)%nat ->
  nonempty X ->
  (forall j, (j < length X)%nat ->
     snd (nth j X (0, 0)) - fst (nth j Y (0, 0)) <= d /\
     snd (nth j Y (0, 0)) - fst (nth j X (0, 0)) <= d) ->
  (forall j, (j < length X)%nat -> j <> i ->
     2 * d < fst (nth i X (0, 0)) - snd (nth j X (0, 0))) ->
  leads i Y.
Proof.
  intros len iX ends D G. split; [lia|]. rewrite <- len. intros j jX ji.
  pose proof (ends i iX). pose proof (ends j jX).
  specialize (G j jX ji). destruct (D i iX), (D j jX). lra.
Qed.

(** ** 3. The first of equal outputs *)

(** z is a choice of numbers from the intervals. *)
Definition within (z : list R) (Bs : list interval) : Prop :=
  length z = length Bs /\
  forall j, (j < length Bs)%nat -> inside (nth j z 0) (nth j Bs (0, 0)).

(** i is the answer of an argmax that takes the first of equal entries. *)
Definition first_top (i : nat) (z : list R) : Prop :=
  (i < length z)%nat /\ (forall j, (j < length z)%nat -> nth j z 0 <= nth i z 0) /\
  forall j, (j < i)%nat -> nth j z 0 < nth i z 0.

(** The test with [--ties first]: >= 0 for later classes, > 0 for earlier ones. *)
Definition first_leads (i : nat) (Bs : list interval) : Prop :=
  (i < length Bs)%nat /\
  forall j, (j < length Bs)%nat -> j <> i ->
    snd (nth j Bs (0, 0)) <= fst (nth i Bs (0, 0)) /\
    ((j < i)%nat -> snd (nth j Bs (0, 0)) < fst (nth i Bs (0, 0))).

(** From lower bounds of differences, as the pairwise form. *)
Theorem first_index i b (low : nat -> R) : (i < length b)%nat ->
  (forall j, (j < length b)%nat -> j <> i -> low j <= nth i b 0 - nth j b 0) ->
  (forall j, (i < j < length b)%nat -> 0 <= low j) -> (forall j, (j < i)%nat -> 0 < low j) ->
  first_top i b.
Proof.
  intros ib L later earlier. repeat split; [exact ib| |].
  - intros j jb. destruct (Nat.lt_trichotomy j i) as [h|[->|h]]; [|lra|].
    + specialize (earlier j h). specialize (L j jb ltac:(lia)). lra.
    + specialize (later j ltac:(lia)). specialize (L j jb ltac:(lia)). lra.
  - intros j ji. specialize (earlier j ji). specialize (L j ltac:(lia) ltac:(lia)). lra.
Qed.

(** The choice that is worst for class i: its lower end, all other upper ends. *)
Definition worst (i : nat) (Bs : list interval) (j : nat) : R :=
  if Nat.eqb j i then fst (nth j Bs (0, 0)) else snd (nth j Bs (0, 0)).

Lemma worst_within i Bs : nonempty Bs -> exists z, within z Bs /\
  forall j, (j < length Bs)%nat -> nth j z 0 = worst i Bs j.
Proof.
  intros N. exists (map (worst i Bs) (seq 0 (length Bs))).
  assert (len : length (map (worst i Bs) (seq 0 (length Bs))) = length Bs)
    by now rewrite map_length, seq_length.
  assert (at_j : forall j, (j < length Bs)%nat ->
            nth j (map (worst i Bs) (seq 0 (length Bs))) 0 = worst i Bs j).
  { intros j jB. rewrite nth_indep with (d' := worst i Bs 0%nat) by now rewrite len.
    now rewrite map_nth, seq_nth. }
  repeat split; auto; rewrite at_j by easy; unfold worst; specialize (N j ltac:(easy));
    destruct (Nat.eqb j i); lra.
Qed.

(** On nonempty intervals the test is exact: it holds if and only if i is the answer for every
    choice of numbers. Only if: the choice that is worst for i. *)
Theorem first_index_exact i Bs : nonempty Bs ->
  (first_leads i Bs <-> (i < length Bs)%nat /\ forall z, within z Bs -> first_top i z).
Proof.
  intros N. split.
  - intros [iB L]. split; [exact iB|]. intros z [len I].
    destruct (I i iB) as [lo_i _]. repeat split; [lia| |].
    + intros j jz. destruct (Nat.eq_dec j i) as [->|n]; [lra|].
      destruct (L j ltac:(lia) n), (I j ltac:(lia)). lra.
    + intros j ji. destruct (L j ltac:(lia) ltac:(lia)) as [_ H], (I j ltac:(lia)).
      specialize (H ji). lra.
  - intros [iB H]. split; [exact iB|]. intros j jB ji.
    destruct (worst_within i Bs N) as (z & W & at_j). specialize (H z W).
    destruct H as (_ & above & first). destruct W as [len _].
    specialize (above j ltac:(lia)). specialize (first j).
    rewrite (at_j j jB), (at_j i iB) in *. unfold worst in *.
    rewrite Nat.eqb_refl, (proj2 (Nat.eqb_neq j i) ji) in *. split; [exact above|exact first].
Qed.

(** The same for a unique top class. *)
Theorem leads_exact i Bs : nonempty Bs ->
  (leads i Bs <-> (i < length Bs)%nat /\ forall z, within z Bs -> top i z).
Proof.
  intros N. split.
  - intros [iB L]. split; [exact iB|]. intros z [len I]. split; [lia|]. intros j jz ji.
    specialize (L j ltac:(lia) ji). destruct (I i iB), (I j ltac:(lia)). lra.
  - intros [iB H]. split; [exact iB|]. intros j jB ji.
    destruct (worst_within i Bs N) as (z & W & at_j). specialize (H z W).
    destruct H as [_ above], W as [len _]. specialize (above j ltac:(lia) ji).
    rewrite (at_j j jB), (at_j i iB) in above. unfold worst in above.
    now rewrite Nat.eqb_refl, (proj2 (Nat.eqb_neq j i) ji) in above.
Qed.

(** Only the first of the largest lower ends can pass the test, so no other class need be tried. *)
Theorem only_candidate i Bs : nonempty Bs -> first_leads i Bs -> first_top i (map fst Bs).
Proof.
  intros N L. apply (first_index_exact i Bs N) in L. destruct L as [_ L]. apply L.
  split; [apply map_length|]. intros j jB. specialize (N j jB).
  pose proof (map_nth fst Bs (0, 0) j : nth j (map fst Bs) 0 = fst (nth j Bs (0, 0))) as e.
  unfold inside. rewrite e. lra.
Qed.

(** ** 4. Two witnesses *)

Lemma number16 m e : (Z.abs m < 2048)%Z -> (-24 <= e)%Z ->
  number binary16 (IZR m * bpow radix2 e).
Proof. intros Hm He. apply generic_format_FLT. now exists (Float radix2 m e). Qed.

(** With >= in the place of > the classic form is false: the margin is 2 d, all numbers are numbers
    of binary16, and the answers differ where the first of equal entries is taken. *)
Theorem ties_break_classic :
  let p := [0.375; 0.625] in let q := [0.5; 0.5] in
  Forall (number binary16) (p ++ q) /\ margin p (2 * 0.125) /\
  (forall i, (i < 2)%nat -> Rabs (nth i p 0 - nth i q 0) = 0.125) /\
  first_top 1 p /\ first_top 0 q.
Proof.
  simpl. split; [|split; [|split]].
  - repeat constructor.
    + replace 0.375 with (IZR 3 * bpow radix2 (-3)) by (simpl; lra). now apply number16.
    + replace 0.625 with (IZR 5 * bpow radix2 (-3)) by (simpl; lra). now apply number16.
    + replace 0.5 with (IZR 1 * bpow radix2 (-1)) by (simpl; lra). now apply number16.
    + replace 0.5 with (IZR 1 * bpow radix2 (-1)) by (simpl; lra). now apply number16.
  - exists 0.625, 0.375, []. repeat split; [constructor|lra|constructor|lra].
  - intros [|[|i]] H; try lia; simpl; [rewrite Rabs_left|rewrite Rabs_right]; lra.
  - split; (split; [simpl; lia|split]); intros [|[|j]]; simpl; intros; try lia; lra.
Qed.

(** exp (2 t) < (1 + t) / (1 - t): the difference f (t) = 1 + t - (1 - t) exp (2 t) grows from
    f (0) = 0, since f' = 1 - (1 - 2 t) exp (2 t) and 1 - 2 t < exp (- 2 t). *)
Lemma exp_bound t : 0 < t -> (1 - t) * exp (2 * t) < 1 + t.
Proof.
  intros t0.
  pose (f := fun x => 1 + x - (1 - x) * exp (2 * x)).
  pose (f' := fun x => 1 - (1 - 2 * x) * exp (2 * x)).
  assert (D : forall x, derivable_pt_lim f x (f' x)).
  { intros x. unfold f, f'.
    assert (d : derivable_pt (fun x => 1 + x - (1 - x) * exp (2 * x)) x) by reg.
    apply (derive_pt_eq_1 _ x _ d). reg. unfold comp. ring. }
  destruct (MVT_cor2 f f' 0 t t0 (fun x _ => D x)) as (x & E & [x0 xt]).
  assert (0 < f' x).
  { unfold f'. pose proof (exp_ineq1 (- (2 * x)) ltac:(lra)). pose proof (exp_pos (2 * x)).
    assert (exp (- (2 * x)) * exp (2 * x) = 1)
      by (rewrite <- exp_plus, <- exp_0; f_equal; ring). nra. }
  unfold f in E at 2. rewrite Rmult_0_r, exp_0 in E. unfold f in E. nra.
Qed.

(** Numbers of binary16 are 2^-12 apart below 1/2 and 2^-11 above. *)
Lemma near_half x : / 2 - bpow radix2 (-13) < x < / 2 + bpow radix2 (-12) -> fl binary16 x = / 2.
Proof.
  intros H. simpl in H. unfold fl, round, F2R, scaled_mantissa, cexp. simpl.
  destruct (Rle_or_lt (/ 2) x) as [above|below].
  - rewrite (mag_unique radix2 x 0) by (simpl; rewrite Rabs_pos_eq; lra).
    simpl. rewrite (Znearest_imp _ _ 1024); [lra|]. apply Rabs_def1; lra.
  - rewrite (mag_unique radix2 x (-1)) by (simpl; rewrite Rabs_pos_eq; lra).
    simpl. rewrite (Znearest_imp _ _ 2048); [lra|]. apply Rabs_def1; lra.
Qed.

(** Different logits, equal stored probabilities: class 1 is the top of z, class 0 the answer of
    the probabilities. By [exp_bound] the smaller one is less than half a gap below 1/2. *)
Theorem softmax_tie :
  let z0 := 0 in let z1 := bpow radix2 (-11) in
  let p z := fl binary16 (exp z / (exp z0 + exp z1)) in
  number binary16 z0 /\ number binary16 z1 /\ top 1 [z0; z1] /\
  p z0 = / 2 /\ p z1 = / 2 /\ first_top 0 [p z0; p z1].
Proof.
  intros z0 z1 p. assert (z1_eq : z1 = 2 * / 4096) by (unfold z1; simpl; lra).
  pose proof (exp_bound (/ 4096) ltac:(lra)) as up. rewrite <- z1_eq in up.
  pose proof (exp_ineq1 z1 ltac:(lra)) as low.
  assert (e0 : exp z0 = 1) by apply exp_0.
  assert (P0 : p z0 = / 2).
  { apply near_half. rewrite e0. simpl. split.
    - apply Rmult_lt_reg_r with (1 + exp z1); [lra|]. field_simplify; lra.
    - apply Rmult_lt_reg_r with (1 + exp z1); [lra|]. field_simplify; lra. }
  assert (P1 : p z1 = / 2).
  { apply near_half. rewrite e0. simpl. split.
    - apply Rmult_lt_reg_r with (1 + exp z1); [lra|]. field_simplify; lra.
    - apply Rmult_lt_reg_r with (1 + exp z1); [lra|]. field_simplify; lra. }
  rewrite P0, P1. repeat split; try exact P0; try exact P1.
  - apply generic_format_0.
  - replace z1 with (IZR 1 * bpow radix2 (-11)) by (unfold z1; ring). now apply number16.
  - simpl. lia.
  - unfold z0. intros [|[|j]] H n; simpl in *; try lia. lra.
  - simpl. lia.
  - intros [|[|j]] H; simpl in *; try lia; lra.
  - intros j H. lia.
Qed.
