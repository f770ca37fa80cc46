(** * An example: a small network whose two versions agree, computed inside Coq.

    Two inputs, three hidden relu units, three classes; a box of inputs of positive width. M32 has
    the constants rounded to binary32, M16 the same rounded again to binary16, which changes
    most of them. The checker of [Check.v] is run by [vm_compute]: the premises of [agreement]
    hold ([example_premises]), so every execution of either version gives class 1 on every input of
    the box ([example_agrees]). With one bias changed the checker refuses, and intervals
    overlap in M16, although M32 alone still passes it ([perturbed_refused]).

    Depends on: [Statement.v], [Rational.v], [Check.v]. *)

From Coq Require Import Reals List QArith.
From Errbound Require Import Statement Rational Check.
Import ListNotations.
Open Scope R_scope.

(** ** 1. The networks *)

Definition unit2 (a b c : Q) : nodeQ := SumQ [WeightedQ a 0; WeightedQ b 1; ConstantQ c] [].
Definition unit3 (a b c d : Q) : nodeQ :=
  SumQ [WeightedQ a 5; WeightedQ b 6; WeightedQ c 7; ConstantQ d] [].

(** Values 0 and 1 are the inputs, 2 to 4 the hidden sums, 5 to 7 their relus, 8 to 10 the
    classes; [bias] is that of class 1. *)
Definition network (bias : Q) : programQ := ProgramQ
  [unit2 (7 # 10) (- 3 # 10) (1 # 10); unit2 (- 11 # 10) (2 # 10) (1 # 4);
   unit2 (4 # 10) (13 # 10) (- 1 # 5); ReluQ 2; ReluQ 3; ReluQ 4;
   unit3 (9 # 10) (1 # 2) (- 6 # 10) (1 # 20); unit3 (8 # 10) (- 3 # 10) (7 # 10) bias;
   unit3 (- 1 # 1) (12 # 10) (3 # 10) (0 # 1)]
  [8; 9; 10]%nat.

(** The same network with its constants rounded. *)
Definition round_constants (F : format) (P : programQ) : programQ :=
  let summand t :=
    match t with
    | WeightedQ w k => WeightedQ (flQ F w) k
    | EntryQ k => EntryQ k
    | ConstantQ c => ConstantQ (flQ F c)
    end in
  let round v := match v with SumQ ts ds => SumQ (map summand ts) ds | ReluQ k => ReluQ k end in
  ProgramQ (map round (nodesQ P)) (outputsQ P).

Definition inputs : list box :=
  [(1 # 2, (1 # 2) + (1 # 4096)); (3 # 4, (3 # 4) + (1 # 4096))]%Q.
Definition inputs16 : list box := map (cellQ binary16) inputs.

(** The least intervals that the rules admit. *)
Definition least (A : arithmetic) (P : programQ) (X : list box) : list box :=
  match images A (nodesQ P) X with Some C => C | None => [] end.

Definition M32 (bias : Q) : programQ := round_constants binary32 (network bias).
Definition M16 (bias : Q) : programQ := round_constants binary16 (M32 bias).
Definition C32 (bias : Q) : list box := least cpu32 (M32 bias) inputs.
Definition C16 (bias : Q) : list box := least cpu16 (M16 bias) inputs16.

(** ** 2. Agreement *)

Definition bias : Q := 1 # 20.

Theorem example_certified :
  certifies cpu32 cpu16 (M32 bias) (M16 bias) inputs (C32 bias) (C16 bias) 1 = true.
Proof. vm_compute; reflexivity. Qed.

(** The premises of [agreement], as [Statement.v] has them. *)
Theorem example_premises :
  encloses cpu32 (nodes (programR (M32 bias))) (map boxR inputs) (map boxR (inputs ++ C32 bias)) /\
  leads 1 (map (box_at (map boxR (inputs ++ C32 bias))) (outputs (programR (M32 bias)))) /\
  encloses cpu16 (nodes (programR (M16 bias))) (map boxR inputs16)
    (map boxR (inputs16 ++ C16 bias)) /\
  leads 1 (map (box_at (map boxR (inputs16 ++ C16 bias))) (outputs (programR (M16 bias)))).
Proof.
  repeat split; try (apply check_program_sound; [| vm_compute; reflexivity]).
  - apply coherent_cpu32.
  - rewrite <- outputs_correct; apply leadsQ_correct; vm_compute; reflexivity.
  - rewrite <- outputs_correct; apply leadsQ_correct; vm_compute; reflexivity.
  - apply coherent_cpu16.
  - rewrite <- outputs_correct; apply leadsQ_correct; vm_compute; reflexivity.
  - rewrite <- outputs_correct; apply leadsQ_correct; vm_compute; reflexivity.
Qed.

(** Every execution of either version, from every input of the box, has class 1. *)
Theorem example_agrees :
  forall x, Forall2 inside x (map boxR inputs) -> Forall (number binary32) x ->
    always_top cpu32 (programR (M32 bias)) x 1 /\
    always_top cpu16 (programR (M16 bias)) (map (fl binary16) x) 1.
Proof.
  exact (certifies_sound cpu32 cpu16 _ _ _ _ _ 1 example_certified).
Qed.

(** ** 3. Another bias *)

(** Class 2 comes so near that its interval meets that of class 1 in M16, though not in M32. *)
Definition other_bias : Q := - 7947 # 10000.

Theorem perturbed_refused :
  certifies cpu32 cpu16 (M32 other_bias) (M16 other_bias) inputs (C32 other_bias)
    (C16 other_bias) 1 = false /\
  leads 1 (map boxR (outputs_at (inputs ++ C32 other_bias) (M32 other_bias))) /\
  ~ leads 1 (map boxR (outputs_at (inputs16 ++ C16 other_bias) (M16 other_bias))).
Proof.
  split; [vm_compute; reflexivity | split; [apply leadsQ_correct; vm_compute; reflexivity |]].
  rewrite <- leadsQ_correct; apply not_true_iff_false; vm_compute; reflexivity.
Qed.
