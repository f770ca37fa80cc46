(** * An example: a small network whose two versions agree, and one whose versions do not.

    Two inputs, three hidden relu units, three classes; a box of inputs whose sides are twice the
    spacing of binary16. M32 has the constants rounded to binary32, M16 the same rounded again to
    binary16, which changes most of them. The checker of [Check.v] is run by [vm_compute] inside
    Coq.
    - The first network is certified ([example_certified]): the premises of [agreement] hold
      ([example_premises]), so every execution of either version gives class 1 on every input of
      the box ([example_agrees]).
    - With another bias of class 1, M32 still gives class 1 on all of the box ([perturbed_M32]), but
      there is an input of the box from which M16 has executions ([perturbed_execution]) and all of
      them give class 2 ([perturbed_disagrees]). The versions disagree, so no accepted intervals of
      M16 pass the pairwise test for class 1, and the checker refuses every certificate, of
      whatever class ([perturbed_refused]).

    Depends on: [Statement.v], [Network.v] ([always_top_sound], [enclosure_sound],
    [in_range_execution_exists]), [Rational.v], [Check.v]. *)

From Coq Require Import Reals List QArith Qreals Lra.
From Errbound Require Import Statement Format Network Rational Check.
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
   unit3 (9 # 10) (1 # 2) (- 6 # 10) (41 # 10); unit3 (8 # 10) (- 3 # 10) (7 # 10) bias;
   unit3 (- 1 # 1) (12 # 10) (3 # 10) (41 # 10)]
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

(** Each side holds three numbers of binary16: 1/2, 1/2 + 1/2048, 1/2 + 1/1024. *)
Definition inputs : list box := [(1 # 2, 513 # 1024); (1 # 2, 513 # 1024)].
Definition inputs16 : list box := map (cellQ binary16) inputs.

(** The least intervals that the rules admit. *)
Definition least (A : arithmetic) (P : programQ) (X : list box) : list box :=
  match images A (nodesQ P) X with Some C => C | None => [] end.

Definition M32 (bias : Q) : programQ := round_constants binary32 (network bias).
Definition M16 (bias : Q) : programQ := round_constants binary16 (M32 bias).
Definition C32 (bias : Q) : list box := least cpu32 (M32 bias) inputs.
Definition C16 (bias : Q) : list box := least cpu16 (M16 bias) inputs16.

(** ** 2. Agreement *)

Definition bias : Q := 42 # 10.

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

Definition other_bias : Q := 33015 # 10000.

(** Accepted intervals of M32 pass the pairwise test: it gives class 1 on all of the box. *)
Theorem perturbed_M32 :
  forall x, Forall2 inside x (map boxR inputs) -> Forall (number binary32) x ->
    always_top cpu32 (programR (M32 other_bias)) x 1.
Proof.
  intros x I N.
  refine (always_top_sound cpu32 _ x _ (map boxR (inputs ++ C32 other_bias)) 1 _ _ _ I N).
  - apply coherent_cpu32.
  - apply check_program_sound; [apply coherent_cpu32 | vm_compute; reflexivity].
  - rewrite <- outputs_correct; apply leadsQ_correct; vm_compute; reflexivity.
Qed.

(** An input of the box, of binary32; in binary16 it becomes (1/2, 1/2 + 1/1024). *)
Definition point : list Q := [4097 # 8192; 4103 # 8192].
Definition point16 : list Q := map (flQ binary16) point.

Lemma point16_correct : map (fl binary16) (map Q2R point) = map Q2R point16.
Proof.
  unfold point16; rewrite !map_map; apply map_ext; intros q; now rewrite flQ_correct.
Qed.

(** Membership, computed. *)
Lemma inside_computed xs Bs :
  forallb (fun t => withinQ (fst t, fst t) (snd t)) (combine xs Bs) = true ->
  length xs = length Bs -> Forall2 inside (map Q2R xs) (map boxR Bs).
Proof.
  revert Bs; induction xs as [| x xs IH]; intros [| B Bs]; simpl; try easy.
  unfold withinQ at 1; simpl; rewrite !andb_true_iff, !Qle_bool_R; intros ((L & U) & H) E.
  constructor; [split; assumption | apply IH; [exact H | now injection E]].
Qed.

(** Numbers of a format, computed. *)
Lemma numbers_computed F xs : well_formed F ->
  forallb (numberQ F) xs = true -> Forall (number F) (map Q2R xs).
Proof. intros W; apply forallb_map; intros q; apply numberQ_correct, W. Qed.

(** Numbers of intervals that are points. *)
Lemma inside_points qs Bs zs : Forall2 (fun q B => withinQ B (q, q) = true) qs Bs ->
  Forall2 inside zs (map boxR Bs) -> zs = map Q2R qs.
Proof.
  intros W; revert zs; induction W as [| q B qs Bs W _ IH]; simpl; intros zs J.
  - now inversion J.
  - inversion J as [| z C zs' Cs I J']; subst; f_equal; [| now apply IH].
    unfold withinQ in W; simpl in W; rewrite andb_true_iff, !Qle_bool_R in W.
    destruct I as [L U]; simpl in L, U; lra.
Qed.

(** The box that is this one input, and least intervals of M16 from there. *)
Definition X16 : list box := map (fun q => (q, q)) point16.
Definition Y16 : list box := X16 ++ least cpu16 (M16 other_bias) X16.

Lemma point_enclosed :
  Forall2 inside (map Q2R point16) (map boxR X16) /\ Forall (number binary16) (map Q2R point16) /\
  encloses cpu16 (nodes (programR (M16 other_bias))) (map boxR X16) (map boxR Y16).
Proof.
  repeat split.
  - apply inside_computed; vm_compute; reflexivity.
  - apply numbers_computed; [apply binary16_well_formed | vm_compute; reflexivity].
  - apply check_program_sound; [apply coherent_cpu16 | vm_compute; reflexivity].
Qed.

(** From there M16 has an execution that stays in range. The intervals of its outputs are points:
    every execution, whatever the order of its sums, gives these three numbers. *)
Theorem perturbed_execution :
  let p := nodes (programR (M16 other_bias)) in
  let x := map (fl binary16) (map Q2R point) in
  (exists ys, runs cpu16 p x (Some ys)) /\
  forall ys, runs cpu16 p x (Some ys) ->
    map (at_index ys) (outputs (programR (M16 other_bias))) = [1019 / 256; 1023 / 256; 2047 / 512].
Proof.
  destruct point_enclosed as (I & N & G); cbv zeta; rewrite point16_correct; split.
  - apply (in_range_execution_exists cpu16 _ _ _ _ coherent_cpu16 G I N).
    repeat constructor; intros xs; now eexists.
  - intros ys H; destruct (enclosure_sound cpu16 _ _ _ _ _ coherent_cpu16 G I N H)
      as (zs & Z & J & _); injection Z as <-.
    apply inside_map with (ks := outputs (programR (M16 other_bias))) in J.
    rewrite <- outputs_correct in J.
    apply inside_points with (qs := [1019 # 256; 1023 # 256; 2047 # 512]%Q) in J; [exact J |].
    repeat constructor; vm_compute; reflexivity.
Qed.

(** M16 gives class 2 there, in every execution; M32 gives class 1. *)
Theorem perturbed_disagrees :
  let x := map Q2R point in
  Forall2 inside x (map boxR inputs) /\ Forall (number binary32) x /\
  always_top cpu32 (programR (M32 other_bias)) x 1 /\
  always_top cpu16 (programR (M16 other_bias)) (map (fl binary16) x) 2.
Proof.
  assert (I : Forall2 inside (map Q2R point) (map boxR inputs))
    by (apply inside_computed; vm_compute; reflexivity).
  assert (N : Forall (number binary32) (map Q2R point))
    by (apply numbers_computed; [apply binary32_well_formed | vm_compute; reflexivity]).
  repeat split; [exact I | exact N | exact (perturbed_M32 _ I N) |].
  destruct point_enclosed as (I16 & N16 & G); rewrite point16_correct.
  refine (always_top_sound cpu16 _ _ _ _ 2 coherent_cpu16 G _ I16 N16).
  rewrite <- outputs_correct; apply leadsQ_correct; vm_compute; reflexivity.
Qed.

(** So not every execution of M16 has class 1: one gives class 2. *)
Lemma perturbed_not_top :
  ~ always_top cpu16 (programR (M16 other_bias)) (map (fl binary16) (map Q2R point)) 1.
Proof.
  intros T; destruct perturbed_execution as [[ys H] O].
  destruct (T _ H) as (zs & Z & _ & L); injection Z as <-.
  rewrite (O _ H) in L; specialize (L 2%nat ltac:(simpl; auto) ltac:(easy)); simpl in L; lra.
Qed.

(** No intervals that the rules accept for M16 pass the pairwise test for class 1; and the checker
    refuses every certificate, that of its own intervals included, for every class. *)
Theorem perturbed_refused :
  (forall Bs16, encloses cpu16 (nodes (programR (M16 other_bias))) (map boxR inputs16) Bs16 ->
     ~ leads 1 (map (box_at Bs16) (outputs (programR (M16 other_bias))))) /\
  (forall Y32 Y16 i,
     certifies cpu32 cpu16 (M32 other_bias) (M16 other_bias) inputs Y32 Y16 i = false).
Proof.
  split.
  - intros Bs16 G L; apply perturbed_not_top; rewrite point16_correct.
    refine (always_top_sound cpu16 _ _ _ _ 1 coherent_cpu16 G L _ _).
    + apply inside_computed; vm_compute; reflexivity.
    + apply point_enclosed.
  - intros Y Y' i; apply not_true_iff_false; intros C.
    destruct perturbed_disagrees as (I & N & T32 & _).
    destruct (certifies_sound _ _ _ _ _ _ _ _ C _ I N) as [S32 S16].
    destruct (in_range_execution_exists cpu32 (nodes (programR (M32 other_bias))) (map Q2R point)
      (map boxR inputs) (map boxR (inputs ++ C32 other_bias)) coherent_cpu32) as [ys H];
      try assumption.
    + apply check_program_sound; [apply coherent_cpu32 | vm_compute; reflexivity].
    + repeat constructor; intros xs; now eexists.
    + destruct (T32 _ H) as (zs & Z & L & T), (S32 _ H) as (zs' & Z' & L' & T').
      rewrite Z in Z'; injection Z' as <-; destruct (Nat.eq_dec i 1) as [-> | D].
      * now apply perturbed_not_top.
      * specialize (T i L' D); specialize (T' 1%nat L (not_eq_sym D)); lra.
Qed.
