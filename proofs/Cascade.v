(** * The cascade: forward intervals, narrowed backwards, in every execution

    Intervals are made node by node, as in [Network.v], and may be narrowed on the way to whatever
    follows from the others ([refined]); in particular by a backward pass ([bounded_below]) for a
    value ([narrowed_value]), or for the exact sum in a node, which is then taken through the node's
    own rounding ([narrowed_sum]; other relations: [narrowed_affine]). Class i is proved
    ([proved_top]) if each rival loses by its interval or by a backward bound of the difference.

    Main results: the intervals hold in every execution, and none leaves the range
    ([refined_sound]); every execution has the argmax that was proved ([cascade_top]), and so have
    two programs ([agreement_by_cascade]), of which [agreement] is the case without narrowing
    ([leads_proved_top]).

    The bounds are real numbers; that the code evaluates them outward is not part of this file.
    Depends on: [Sum], [Contraction], [Network], [Backward], [Executions]. *)

From Coq Require Import Reals List Lra Lia.
From Flocq Require Import Core.
From Errbound Require Import Statement Format Sum Contraction Network Backward Executions.
Import ListNotations.
Open Scope R_scope.

(** ** 1. The intervals of the cascade *)

(** Start with the input's intervals; add an accepted interval of the next node; narrow any
    interval to what follows. *)
Inductive refined (A : arithmetic) (X : list interval) : list node -> list interval -> Prop :=
| refined_start : refined A X [] X
| refined_forward p Bs v B :
    refined A X p Bs -> accepts A Bs v B -> refined A X (p ++ [v]) (Bs ++ [B])
| refined_narrowed p Bs v B :
    refined A X p Bs -> follows A X p Bs (fun ys => inside (at_index ys v) B) ->
    refined A X p (narrow Bs v B).

(** Each of the three steps keeps every execution in range and inside. *)
Lemma keeps_start A X : keeps A X [] X.
Proof. intros xs o N T. inversion T; subst. now exists xs. Qed.

Lemma keeps_node A X p Bs v B : coherent A -> keeps A X p Bs -> accepts A Bs v B ->
  keeps A X (p ++ [v]) (Bs ++ [B]).
Proof.
  intros C K G xs o N R'. destruct (runs_last A p v xs o R') as [[Z _] | (ys & r & Y & T & ->)].
  - now destruct (K xs None N Z) as (ys & E & _).
  - destruct (K xs _ N Y) as (zs & E & I & M). injection E as <-.
    destruct (node_sound A v ys Bs B r C I M G T) as (y & -> & J & L).
    exists (ys ++ [y]). split; [easy|]. split; [apply Forall2_app | apply Forall_app]; auto.
Qed.

Lemma keeps_narrowed A X p Bs v B : keeps A X p Bs ->
  follows A X p Bs (fun ys => inside (at_index ys v) B) -> keeps A X p (narrow Bs v B).
Proof.
  intros K F xs o N T. destruct (K xs o N T) as (ys & -> & _). exists ys. split; [easy|].
  destruct (follows_holds A X p Bs _ xs ys K F N T) as [[I M] J].
  split; [now apply inside_narrow | easy].
Qed.

(** All executions stay in range and inside the intervals of the cascade. *)
Theorem refined_sound A X p Bs : coherent A -> refined A X p Bs -> keeps A X p Bs.
Proof.
  intros C H. induction H; eauto using keeps_start, keeps_node, keeps_narrowed.
Qed.

(** Intervals that are accepted one after the other are the cascade's first stage. *)
Lemma encloses_refined A X p q Bs Bs' :
  refined A X p Bs -> encloses A q Bs Bs' -> refined A X (p ++ q) Bs'.
Proof.
  intros H G. revert p H.
  induction G as [Bs | v q Bs B Bs' a G IH]; intros p H; [now rewrite app_nil_r|].
  replace (p ++ v :: q) with ((p ++ [v]) ++ q) by now rewrite <- app_assoc.
  now apply IH, refined_forward.
Qed.

(** ** 2. Backward passes *)

(** What a backward pass for the functional f has to have: relations that follow, radii about the
    centres, coefficients g within their roundings; b is at most its bound. *)
Definition bounded_below (A : arithmetic) (X : list interval) (p : list node) (Bs : list interval)
    (f : nat -> R) (b : R) : Prop :=
  let N := length Bs in
  exists M c low high gamma r t rad g,
    (forall v, (v < N)%nat ->
       follows A X p Bs (fun ys => related N M c low high v (at_index ys))) /\
    (forall v, (v < N)%nat ->
       c v - rad v <= fst (box_at Bs v) /\ snd (box_at Bs v) <= c v + rad v) /\
    (forall v, (v < N)%nat -> 0 <= gamma v) /\
    (forall w, (w < N)%nat -> sum N (fun v => Rabs (M w v) * rad v) <= r w) /\
    computed N M f g gamma t /\ b <= lower_bound N c f g low high gamma r t rad.

(** Then b is a lower bound of f in all executions. *)
Lemma bounded_below_follows A X p Bs f b : bounded_below A X p Bs f b ->
  follows A X p Bs (fun ys => b <= sum (length Bs) (fun v => f v * at_index ys v)).
Proof.
  intros (M & c & lo & hi & gamma & r & t & rad & g & rel & radius & pos & Hr & comp & L) ys I Y.
  apply Rle_trans with (1 := L), backward_bound_computed with M; trivial.
  - intros v vN. now apply rel.
  - intros v vN. destruct (radius v vN), (inside_at ys Bs v (proj1 I)). apply Rabs_le. lra.
Qed.

(** Bounds of f and of - f enclose f. *)
Lemma between_bounds A X p Bs f l h :
  bounded_below A X p Bs f l -> bounded_below A X p Bs (fun k => - f k) (- h) ->
  follows A X p Bs (fun ys => l <= sum (length Bs) (fun k => f k * at_index ys k) <= h).
Proof.
  intros L U ys I Y. apply (fun H => bounded_below_follows _ _ _ _ _ _ H ys I Y) in L, U.
  rewrite (sum_eq _ _ (fun k => -1 * (f k * at_index ys k))) in U by (intros; ring).
  rewrite sum_scale in U. lra.
Qed.

(** A pass that stops at once: the bound of the intervals is one of these bounds. *)
Theorem interval_bound A X p Bs f : bounded_below A X p Bs f
  (sum (length Bs) (fun v => if Rle_bool 0 (f v) then f v * fst (box_at Bs v)
                             else f v * snd (box_at Bs v))).
Proof.
  set (O := fun _ : nat => 0). set (N := length Bs).
  assert (Z : forall g, sum N (fun v => g v * 0) = 0) by (intros; apply sum_0; intros; ring).
  assert (Z' : forall g, sum N (fun v => 0 * g v) = 0) by (intros; apply sum_0; intros; ring).
  exists (fun _ => O), O, (fun v => fst (box_at Bs v)), (fun v => snd (box_at Bs v)), O, O, O,
    (fun v => largest_in (box_at Bs v)), f. fold N. unfold O.
  split; [|split; [|split; [|split; [|split]]]].
  - intros v _. apply interval_relation; intros; lra.
  - intros v _. unfold largest_in. set (B := box_at Bs v).
    pose proof (Rmax_l (Rabs (fst B)) (Rabs (snd B))).
    pose proof (Rmax_r (Rabs (fst B)) (Rabs (snd B))).
    pose proof (Rle_abs (snd B)). pose proof (Rle_abs (- fst B)). rewrite Rabs_Ropp in *. lra.
  - intros. lra.
  - intros. rewrite Rabs_R0, Z'. lra.
  - intros v _. unfold residue. rewrite Z, Z'.
    replace (f v + 0 - f v) with 0 by ring. rewrite Rabs_R0. lra.
  - unfold lower_bound. rewrite Z, Z', Rplus_0_l, Rminus_0_r. right. apply sum_eq. intros v _.
    now rewrite Rmult_0_l, Rminus_0_r, Rplus_0_r.
Qed.

(** Bounds of the value at v itself. *)
Definition unit_at (v k : nat) : R := if Nat.eqb k v then 1 else 0.

Lemma narrowed_value A X p Bs v l h : (v < length Bs)%nat ->
  bounded_below A X p Bs (unit_at v) l ->
  bounded_below A X p Bs (fun k => - unit_at v k) (- h) ->
  follows A X p Bs (fun ys => inside (at_index ys v) (l, h)).
Proof.
  intros vN L U ys I Y. pose proof (between_bounds A X p Bs _ l h L U ys I Y) as H.
  unfold unit_at in H. simpl in H. now rewrite sum_unit in H.
Qed.

(** Bounds of the exact sum in a node, moved outward by its error e, then inward to numbers of the
    accumulator (or not so far), then divided and stored, are an interval of what it stores. *)
Lemma narrowed_sum A X p Bs ts ds e v l h x y x' y' : coherent A -> Forall (fun d => 0 < d) ds ->
  Forall (fun k => (k < length Bs)%nat) (flat_map reads_of ts) ->
  follows A X p Bs (summed A ts ds e v) ->
  bounded_below A X p Bs (weight ts) l ->
  bounded_below A X p Bs (fun k => - weight ts k) (- h) ->
  let b := total (map (centre (fun _ => 0)) ts) in
  x <= fl_up (accumulator A) (l + b - e) -> finish A ds x = Some y ->
  fl_down (accumulator A) (h + b + e) <= x' -> finish A ds x' = Some y' ->
  follows A X p Bs (fun ys => inside (at_index ys v) (y, y')).
Proof.
  intros C D K S L U b Lx Hx Ux Hx' ys I Y. destruct (S ys I Y) as (z & Nz & G & E).
  destruct (between_bounds A X p Bs _ l h L U ys I Y) as [L' U'].
  rewrite (exact_affine (length Bs) (fun _ => 0) ys ts K) in G. fold b in G.
  rewrite (sum_eq _ _ (fun k => weight ts k * at_index ys k)) in G by (intros; ring).
  apply Rabs_le_inv in G. assert (W := proj1 (proj2 C)).
  destruct (finish_between A ds x x' z y y' C D) as (r & E' & J & _); trivial.
  - split; [apply Rle_trans with (1 := Lx), fl_up_le
           |apply Rle_trans with (2 := Ux), fl_down_ge]; trivial; lra.
  - rewrite E in E'. injection E' as ->. exact J.
Qed.

(** The same through any other relation of v: its offset and its gap are added. *)
Lemma narrowed_affine A X p Bs w c o_lo o_hi gap v l h :
  let N := length Bs in let b := sum N (fun k => w k * c k) in
  follows A X p Bs (affine N w c o_lo o_hi gap v) ->
  bounded_below A X p Bs w l -> bounded_below A X p Bs (fun k => - w k) (- h) ->
  follows A X p Bs
    (fun ys => inside (at_index ys v) (l - b + o_lo - gap, h - b + o_hi + gap)).
Proof.
  intros N b F L U ys I Y. destruct (F ys I Y) as (y & o & E & O & G).
  destruct (between_bounds A X p Bs _ l h L U ys I Y) as [L' U']. fold N in L', U'.
  rewrite (sum_eq N _ (fun k => w k * at_index ys k + -1 * (w k * c k))) in E by (intros; ring).
  rewrite sum_plus, sum_scale in E. fold b in E. apply Rabs_le_inv in G. split; simpl; lra.
Qed.

(** ** 3. The verdict *)

(** Entry k exceeds entry l: by their intervals, or by a backward bound of the difference. *)
Definition exceeds (A : arithmetic) (X : list interval) (p : list node) (Bs : list interval)
    (k l : nat) : Prop :=
  snd (box_at Bs l) < fst (box_at Bs k) \/
  (k < length Bs)%nat /\ (l < length Bs)%nat /\
    exists b, 0 < b /\ bounded_below A X p Bs (difference k l) b.

(** Class i is proved: no rival reaches it. Each pair may have intervals and relations of its own:
    pairs may be decided at different stages. *)
Definition proved_top (A : arithmetic) (X : list interval) (P : program) (i : nat) : Prop :=
  let z j := nth j (outputs P) 0%nat in
  (exists Bs, refined A X (nodes P) Bs) /\ (i < length (outputs P))%nat /\
  forall j, (j < length (outputs P))%nat -> j <> i ->
    exists Bs, refined A X (nodes P) Bs /\ exceeds A X (nodes P) Bs (z i) (z j).

(** Then it does in all numbers of the intervals. *)
Lemma exceeds_follows A X p Bs k l : exceeds A X p Bs k l ->
  follows A X p Bs (fun ys => at_index ys l < at_index ys k).
Proof.
  intros [L | (kN & lN & b & b0 & H)] ys I Y.
  - destruct (inside_at ys Bs k (proj1 I)), (inside_at ys Bs l (proj1 I)). lra.
  - pose proof (bounded_below_follows A X p Bs _ b H ys I Y) as G. simpl in G.
    rewrite sum_difference in G by easy. lra.
Qed.

(** Every execution stays in range and has the argmax i. *)
Theorem cascade_top A X P i xs : coherent A -> proved_top A X P i -> numbers_in A X xs ->
  always_top A P xs i.
Proof.
  intros C ((Bs & H) & L & T) I o Y.
  destruct (refined_sound A X _ Bs C H xs o I Y) as (ys & -> & _). exists ys. split; [easy|].
  split; rewrite map_length; [easy|]. intros j J D. rewrite !at_output by easy.
  destruct (T j J D) as (Cs & H' & G). apply exceeds_follows in G.
  now apply (follows_holds A X _ Cs _ xs ys (refined_sound A X _ Cs C H') G I Y).
Qed.

(** The premises of [agreement] are a case of it: no narrowing, rivals lose by their intervals. *)
Lemma leads_proved_top A X P Bs i : encloses A (nodes P) X Bs ->
  leads i (map (box_at Bs) (outputs P)) -> proved_top A X P i.
Proof.
  intros G [L T]. rewrite map_length in *.
  assert (H : refined A X (nodes P) Bs)
    by (apply (encloses_refined A X [] (nodes P) X Bs); [constructor | easy]).
  split; [now exists Bs|]. split; [easy|].
  intros j J D. exists Bs. split; [easy|]. left. specialize (T j J D).
  rewrite !nth_indep with (d := (0, 0)) (d' := box_at Bs 0) in T by now rewrite map_length.
  now rewrite !map_nth in T.
Qed.

(** The theorem of [Statement.v] for the whole cascade. *)
Theorem agreement_by_cascade A32 A16 M32 M16 X i :
  coherent A32 -> coherent A16 ->
  let cell B := (fl (storage A16) (fst B), fl (storage A16) (snd B)) in
  proved_top A32 X M32 i -> proved_top A16 (map cell X) M16 i ->
  Forall (fun B => largest_in (cell B) <= Omega (storage A16)) X ->
  forall x, Forall2 inside x X -> Forall (number (storage A32)) x ->
    always_top A32 M32 x i /\ always_top A16 M16 (map (fl (storage A16)) x) i.
Proof.
  intros C32 C16 cell T32 T16 _ x H N. split; [now apply cascade_top with X|].
  apply cascade_top with (map cell X); trivial. split.
  - clear - C16 H. induction H as [| x B xs Bs [L U] H IH]; simpl; constructor; trivial.
    split; apply fl_monotone; trivial; apply C16.
  - apply Forall_map, Forall_forall. intros y _. apply fl_number, C16.
Qed.
