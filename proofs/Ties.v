(** * Ties: the cascade where of equal outputs the first is the answer.

    With [--ties first] a class that comes later than i may be as large as class i in an
    execution, since argmax takes the first of equal outputs. Everything else is as in [Cascade.v]:
    a rival that comes earlier must lose ([exceeds]); one that comes later must not win
    ([not_behind]).

    Main result: [agreement_with_ties]. Depends on: [Margin] ([first_top]), [Cascade]. *)

From Coq Require Import Reals List Lra Lia.
From Errbound Require Import Statement Format Contraction Margin Network Backward Executions.
From Errbound Require Import Cascade.
Import ListNotations.
Open Scope R_scope.

(** Value l does not win against value k: by its interval, or by a backward bound. *)
Definition not_behind (A : arithmetic) (X : list interval) (p : list node) (Bs : list interval)
    (k l : nat) : Prop :=
  snd (box_at Bs l) <= fst (box_at Bs k) \/
  (k < length Bs)%nat /\ (l < length Bs)%nat /\
    exists b, 0 <= b /\ bounded_below A X p Bs (difference k l) b.

Lemma not_behind_follows A X p Bs k l : not_behind A X p Bs k l ->
  follows A X p Bs (fun ys => at_index ys l <= at_index ys k).
Proof.
  intros [L | (kN & lN & b & b0 & H)] ys I Y.
  - destruct (inside_at ys Bs k (proj1 I)), (inside_at ys Bs l (proj1 I)). lra.
  - pose proof (bounded_below_follows A X p Bs _ b H ys I Y) as G. simpl in G.
    rewrite sum_difference in G by easy. lra.
Qed.

(** Class i is proved: earlier classes lose, later ones do not win. *)
Definition proved_first (A : arithmetic) (X : list interval) (P : program) (i : nat) : Prop :=
  let z j := nth j (outputs P) 0%nat in
  (exists Bs, refined A X (nodes P) Bs) /\ (i < length (outputs P))%nat /\
  forall j, (j < length (outputs P))%nat -> j <> i ->
    exists Bs, refined A X (nodes P) Bs /\ not_behind A X (nodes P) Bs (z i) (z j) /\
      ((j < i)%nat -> exceeds A X (nodes P) Bs (z i) (z j)).

(** Every execution stays in range, and an argmax that takes the first of equal outputs is i. *)
Definition always_first (A : arithmetic) (P : program) (xs : list R) (i : nat) : Prop :=
  forall o, runs A (nodes P) xs o ->
    exists ys, o = Some ys /\ first_top i (map (at_index ys) (outputs P)).

Theorem cascade_first A X P i xs : coherent A -> proved_first A X P i -> numbers_in A X xs ->
  always_first A P xs i.
Proof.
  intros C ((Bs & H) & L & T) I o Y.
  destruct (refined_sound A X _ Bs C H xs o I Y) as (ys & -> & _). exists ys. split; [easy|].
  split; rewrite map_length; [easy|]. split; intros j J.
  - rewrite !at_output by easy. destruct (PeanoNat.Nat.eq_dec j i) as [-> | D]; [lra|].
    destruct (T j J D) as (Cs & H' & G & _). apply not_behind_follows in G.
    now apply (follows_holds A X _ Cs _ xs ys (refined_sound A X _ Cs C H') G I Y).
  - rewrite !at_output by lia. destruct (T j) as (Cs & H' & _ & G); try lia.
    specialize (G J). apply exceeds_follows in G.
    now apply (follows_holds A X _ Cs _ xs ys (refined_sound A X _ Cs C H') G I Y).
Qed.

(** As [agreement_by_cascade], under that rule. *)
Theorem agreement_with_ties A32 A16 M32 M16 X i :
  coherent A32 -> coherent A16 ->
  let cell B := (fl (storage A16) (fst B), fl (storage A16) (snd B)) in
  proved_first A32 X M32 i -> proved_first A16 (map cell X) M16 i ->
  forall x, Forall2 inside x X -> Forall (number (storage A32)) x ->
    always_first A32 M32 x i /\ always_first A16 M16 (map (fl (storage A16)) x) i.
Proof.
  intros C32 C16 cell T32 T16 x H N. split; [now apply cascade_first with X|].
  apply cascade_first with (map cell X); trivial. split.
  - clear - C16 H. induction H as [| x B xs Bs [L U] H IH]; simpl; constructor; trivial.
    split; apply fl_monotone; trivial; apply C16.
  - apply Forall_map, Forall_forall. intros y _. apply fl_number, C16.
Qed.
