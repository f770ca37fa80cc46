(** * Softmax over the reals: its range on a box of logits.

    p_i = e^(z_i) / sum_j e^(z_j) = 1 / (1 + sum_(j <> i) e^(z_j - z_i)) rises with z_i and falls
    with every other logit, so the ends of the logits bound it ([softmax_ends]). Nothing is
    rounded here; what a machine errs besides is a matter of [errs] in [Shapes.v].

    Depends on: [Statement] ([total]). *)

From Coq Require Import Reals List Lra Lia.
From Errbound Require Import Statement.
Import ListNotations.
Open Scope R_scope.

Definition others (n i : nat) : list nat := filter (fun j => negb (j =? i)%nat) (seq 0 n).

Definition softmax (n : nat) (z : nat -> R) (i : nat) : R :=
  exp (z i) / total (map (fun j => exp (z j)) (seq 0 n)).

(** Sums rise with their terms. *)
Lemma total_monotone (f g : nat -> R) l :
  (forall j, In j l -> f j <= g j) -> total (map f l) <= total (map g l).
Proof.
  induction l as [|j l IH]; simpl; intros H; [apply Rle_refl |].
  apply Rplus_le_compat; auto.
Qed.

(** A factor may be taken out. *)
Lemma total_scaled c (f : nat -> R) l : c * total (map f l) = total (map (fun j => c * f j) l).
Proof. induction l as [|j l IH]; simpl; [ring | rewrite <- IH; ring]. Qed.

(** Leaving out an index that is not there changes nothing. *)
Lemma total_without i (f : nat -> R) l :
  ~ In i l -> total (map f (filter (fun j => negb (j =? i)%nat) l)) = total (map f l).
Proof.
  induction l as [|j l IH]; simpl; intros H; auto.
  destruct (Nat.eqb_spec j i); [tauto | simpl; rewrite IH; tauto].
Qed.

(** One term taken out of a sum. *)
Lemma total_split i (f : nat -> R) l : NoDup l -> In i l ->
  total (map f l) = f i + total (map f (filter (fun j => negb (j =? i)%nat) l)).
Proof.
  induction 1 as [|j l Hj _ IH]; simpl; intros []; destruct (Nat.eqb_spec j i); subst; simpl.
  - rewrite total_without; auto.
  - congruence.
  - contradiction.
  - rewrite IH by assumption; lra.
Qed.

(** The quotient by e^(z i): only differences count. *)
Lemma softmax_odds n z i : (i < n)%nat ->
  softmax n z i = 1 / (1 + total (map (fun j => exp (z j - z i)) (others n i))).
Proof.
  intros Hi; unfold softmax.
  rewrite (total_split i) by (apply seq_NoDup || (apply in_seq; lia)); fold (others n i).
  rewrite (map_ext (fun j => exp (z j - z i)) (fun j => / exp (z i) * exp (z j))).
  - rewrite <- total_scaled; set (t := total _).
    assert (0 < exp (z i)) by apply exp_pos.
    assert (0 <= t).
    { unfold t; induction (others n i); simpl; [lra | pose proof (exp_pos (z a)); lra]. }
    field; split; [lra | nra].
  - intros j; unfold Rminus; rewrite exp_plus, exp_Ropp; ring.
Qed.

(** softmax and log_softmax: p_i rises with its own logit and falls with every other, so its
    extremes lie at the ends. *)
Theorem softmax_ends n z lo hi i :
  (i < n)%nat -> (forall j, (j < n)%nat -> lo j <= z j <= hi j) ->
  1 / (1 + total (map (fun j => exp (hi j - lo i)) (others n i))) <= softmax n z i <=
  1 / (1 + total (map (fun j => exp (lo j - hi i)) (others n i))).
Proof.
  intros Hi Hz; rewrite softmax_odds by assumption.
  assert (Hpos : forall f : nat -> R, 0 <= total (map (fun j => exp (f j)) (others n i))).
  { intros f; induction (others n i) as [|j l IH]; simpl; [lra | pose proof (exp_pos (f j)); lra]. }
  assert (Hexp : forall s t, s <= t -> exp s <= exp t).
  { intros s t [H | ->]; [left; apply exp_increasing, H | apply Rle_refl]. }
  assert (Hin : forall j, In j (others n i) -> (j < n)%nat).
  { intros j Hj; apply filter_In in Hj as [Hj _]; apply in_seq in Hj; lia. }
  pose proof (Hz i Hi); unfold Rdiv; rewrite !Rmult_1_l.
  split; (apply Rinv_le_contravar; [pose proof (Hpos (fun j => z j - z i));
    pose proof (Hpos (fun j => lo j - hi i)); lra |]); apply Rplus_le_compat_l, total_monotone;
    intros j Hj; apply Hexp; pose proof (Hz j (Hin j Hj)); lra.
Qed.
