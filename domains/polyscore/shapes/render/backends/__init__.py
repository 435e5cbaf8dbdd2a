"""Other programs' renderers behind our cameras and results, where they are installed. Importing this imports none of them.

`backends.pytorch3d` rasterises meshes and soft silhouettes (`rasterise`, `silhouette` of `polyscore.shapes.render`), and
`backends.gsplat` Gaussian splats (`splat`). nerfstudio renders our fields through the plug-in `nerfstudio_polyscore`.
"""
