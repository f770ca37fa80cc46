# What Print Assumptions prints, one line for each theorem: its name and the names of its axioms.
# Types go over several lines, of which all but the first are indented.
function line() { if (name) print name ":" axioms }
/^== /          { line(); name = $2; axioms = ""; listed = 0; next }
/^Closed under/ { axioms = " none"; next }
/^Axioms:/      { listed = 1; next }
/^[^ ]/         { if (listed) axioms = axioms " " $1 }
END             { line() }
