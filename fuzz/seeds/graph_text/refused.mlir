!t = tensor<?xf32>
#a = loc(unknown)
"builtin.module"() ({^bb0: %r:2 = "lattice.x"(%0#1) : () -> ()}) : () -> ()
{-# #-}
